"""``python -m comfykernel_devtools.check.inspection RESULT``: import a pack and tell what it is.

A process of its own, so that the import is measured from nothing, what the pack prints or breaks stays there, and
nothing of it is left behind.
"""

from __future__ import annotations

import importlib
import sys
import time
import traceback
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import pluggy

from comfykernel_sdk import hooks
from comfykernel_sdk.dynamic import all_inputs
from comfykernel_sdk.hooks import NODES_GROUP

from .inspected import Failure, HeavyImport, Inspected, Inspection, Request
from .source_places import module_level_import, node_source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from comfykernel_sdk.nodes import NodePack
    from comfykernel_sdk.settings import Settings

HEAVY: Final = (
    "torch", "torchvision", "torchaudio", "numpy", "scipy", "PIL", "cv2", "skimage", "sklearn", "pandas", "matplotlib",
    "transformers", "diffusers", "accelerate", "onnxruntime", "tensorflow", "jax", "numba", "safetensors", "kornia",
    "huggingface_hub", "requests", "aiohttp", "av", "imageio", "librosa", "soundfile", "sympy", "networkx",
)  # fmt: skip
"""Libraries that take from a tenth of a second to many seconds to import."""


def inspect_pack(request: Request) -> Inspection:
    """Import the plugins of a pack, let them register, and look at what they gave."""
    sys.path[:0] = request.search
    found = Inspection()
    before = set(sys.modules)
    plugins = []
    begun = time.process_time()
    try:
        plugins = [EntryPoint(name, value, NODES_GROUP).load() for name, value in request.entries.items()]
    except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever it is, it is what the user asks for)
        found.failure = _failure(error, "is imported", request.packages)
    found.import_s = time.process_time() - begun
    new = {name.partition(".")[0] for name in set(sys.modules) - before}
    found.heavy = [_heavy_import(name, request.packages) for name in HEAVY if name in new]
    begun = time.process_time()
    packs: list[NodePack] = []
    for plugin in plugins:
        try:
            packs += registered_packs(plugin, request.settings)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (the same)
            found.failure = _failure(error, "registers its nodes", request.packages)
    found.register_s = time.process_time() - begun
    found.nodes = [_inspected(pack, id) for pack in packs for id in pack.nodes]
    found.web_directories = {pack.name: str(pack.web_directory) for pack in packs if pack.web_directory is not None}
    found.imported = sorted({*_imports_of(request.packages)})
    if request.with_others:
        _look_at_others(found, request)
    return found


def registered_packs(plugin: object, settings: Settings) -> list[NodePack]:
    """What a plugin registers."""
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    manager.register(plugin)
    packs: list[NodePack] = []
    arguments = {"register": packs.append, "settings": settings, "storage": None}
    for implementation in manager.hook.register_nodes.get_hookimpls():
        implementation.function(*(arguments[name] for name in implementation.argnames))
    return packs


def _inspected(pack: NodePack, id: str) -> Inspected:
    definition = pack.nodes[id]
    source = node_source(definition)
    return Inspected(
        spec=definition.spec, pack=pack.name, file=source.file, line=source.line, parameters=source.parameters
    )


def _look_at_others(found: Inspection, request: Request) -> None:
    """Load all other packs that are installed, as a worker would."""
    given: set[str] = set()
    wanted: set[str] = set()
    disabled = set(request.settings.plugins.disabled)
    for entry in entry_points(group=NODES_GROUP):
        distribution = entry.dist.name if entry.dist is not None else entry.value
        if distribution == request.distribution or {entry.name, distribution} & disabled:
            continue
        try:
            packs = registered_packs(entry.load(), request.settings)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (named in the report)
            found.broken.append(f"{distribution}: {type(error).__name__}: {error}")
            continue
        for spec in (definition.spec for pack in packs for definition in pack.nodes.values()):
            found.taken[spec.id] = distribution
            given.update(output.type for output in spec.outputs)
            wanted.update(declared.type for declared in all_inputs(spec.inputs))
    found.given, found.wanted = sorted(given), sorted(wanted)


def _failure(error: BaseException, doing: str, packages: Iterable[str]) -> Failure:
    own = {str(folder) for package in packages for folder in _package_folders(package)}
    frames = traceback.extract_tb(error.__traceback__)
    file, line = "", None
    if isinstance(error, SyntaxError) and error.filename:
        file, line = error.filename, error.lineno
    else:
        for frame in frames:
            if any(frame.filename.startswith(folder) for folder in own):
                file, line = frame.filename, frame.lineno
    text = "".join(traceback.format_exception(error))
    return Failure(doing=doing, message=f"{type(error).__name__}: {error}", traceback=text, file=file, line=line)


def _package_folders(package: str) -> list[Path]:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return []
    if spec is not None and spec.submodule_search_locations:
        return [Path(folder) for folder in spec.submodule_search_locations]
    return [Path(spec.origin)] if spec is not None and spec.origin else []


def _modules_of(packages: Iterable[str]) -> list[str]:
    """Files of the pack's modules that were imported."""
    own = tuple(packages)
    return [
        file
        for name, module in sorted(sys.modules.items())
        if name.partition(".")[0] in own and (file := getattr(module, "__file__", None))
    ]


def _heavy_import(module: str, packages: Iterable[str]) -> HeavyImport:
    for file in _modules_of(packages):
        line = module_level_import(Path(file), module)
        if line is not None:
            return HeavyImport(module=module, file=file, line=line)
    return HeavyImport(module=module)


def _imports_of(packages: Iterable[str]) -> Iterable[str]:
    from .source_places import imported_modules

    for file in _modules_of(packages):
        yield from imported_modules(Path(file))


def main() -> None:
    """Read a request from standard input and write what was found to the file named by the argument."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    found = inspect_pack(request)
    Path(sys.argv[1]).write_bytes(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
