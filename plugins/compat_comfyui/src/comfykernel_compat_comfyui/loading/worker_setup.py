"""Everything that happens when a worker starts: names for packs, packs, their routes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from comfykernel_sdk.errors import NodeDefinitionError
from comfykernel_sdk.nodes import NodePack

from ..compat_settings import NAME, CompatSettings
from .folders import added_folders, make_folders, use_folders
from .pack_sources import chosen, find_sources

if TYPE_CHECKING:
    from comfykernel_sdk.hooks import RegisterNodes
    from comfykernel_sdk.json_types import JsonObject
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.storage import Storage

log = logging.getLogger(__name__)


def load_into_worker(register: RegisterNodes, settings: Settings, storage: Storage | None) -> None:
    """Load all packs and register their nodes. Without any pack nothing is imported."""
    own = settings.of_plugin(NAME, CompatSettings)
    folders = use_folders(settings, storage)
    if not chosen(find_sources(folders), disable_all=own.disable_all, only=own.only):
        return
    from ..worker_side.fresh_specs import FreshSpecs
    from .load_packs import import_packs, known_types
    from .peer_world import PeerWorld

    make_folders()
    world = PeerWorld(settings, storage)
    packs = import_packs(folders, own, on_import=world.know)
    types = known_types(packs) | world.types
    specs = FreshSpecs()
    for pack in packs:
        _register(register, pack.node_pack(types))
        for definition, declare in pack.nodes:
            specs.add(definition.spec, declare)
    about: JsonObject = {"model_folders": (added := added_folders(storage))}
    _search(storage, added)
    if storage is not None:
        about |= world.serve(specs)
    register(NodePack(NAME, about=about))


def _register(register: RegisterNodes, pack: NodePack) -> None:
    try:
        register(pack)
    except NodeDefinitionError:
        # Its folder is called like a plugin.
        pack.name = f"custom_nodes.{pack.name}"
        register(pack)


def _search(storage: Storage | None, added: JsonObject) -> None:
    for folder, places in added.items():
        assert isinstance(places, list)
        for place in places:
            if storage is not None:
                storage.models.add_root(folder, Path(str(place)))
