"""The world that packs expect around them: importable names, the server object, the table of nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import peer_names
from ..diffusion_bridge.forms import install_forms
from ..shims import folder_paths
from ..worker_side.http_service import HttpService
from ..worker_side.prompt_server import PromptServer
from .other_nodes import other_definitions

if TYPE_CHECKING:
    from comfykernel_sdk.json_types import JsonObject
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.storage import Storage

    from ..worker_side.fresh_specs import FreshSpecs
    from .pack_contents import PackContents


class PeerWorld:
    """What is set up once in a worker that has packs. ``types`` are the type names of comfykernel's own nodes."""

    def __init__(self, settings: Settings, storage: Storage | None) -> None:
        from ..shims import nodes
        from ..shims.comfy import cli_args
        from .patched_sampling import heed_patches

        peer_names.install()
        install_forms()
        cli_args.use_settings(settings)
        address = settings.http.listen.split(",")[0]
        self.server = PromptServer.instance = PromptServer(folder_paths.get_user_directory, address, settings.http.port)
        self._mappings = nodes.NODE_CLASS_MAPPINGS
        self._titles = nodes.NODE_DISPLAY_NAME_MAPPINGS
        self._web_directories = nodes.EXTENSION_WEB_DIRS
        definitions = other_definitions(settings, storage)
        self._mappings.offer(definitions)
        heed_patches(definitions)
        self._titles.update({id: d.spec.display_name or id for id, d in definitions.items()})
        self.types = {socket.type for d in definitions.values() for socket in d.spec.inputs}
        self.types |= {socket.type for d in definitions.values() for socket in d.spec.outputs}

    def know(self, contents: PackContents) -> None:
        """A pack was imported: its classes are known to packs that come later."""
        own = set(self._mappings.offered)
        self._mappings.update({name: cls for name, cls in contents.classes.items() if name not in own})
        self._titles.update(contents.display_names)
        if (web := contents.web_directory()) is not None:
            self._web_directories[contents.source.name] = str(web)

    def serve(self, specs: FreshSpecs) -> JsonObject:
        """Answer requests to routes of packs; gives what the server has to know for that."""
        service = HttpService(self.server, specs)
        service.start()
        return {"routes": [*service.patterns()], "changes_prompts": bool(self.server.on_prompt_handlers)}
