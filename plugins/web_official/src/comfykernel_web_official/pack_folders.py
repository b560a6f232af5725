"""What node packs bring for the page: scripts, translations, workflow templates, subgraph blueprints.

A pack names its folder (``NodePack(directory=...)``), in which translations and the rest lie, and its folder of
scripts; without the former they lie next to the scripts.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from comfykernel_sdk.transport import Kernel

OWN_NAME: Final = "comfykernel"
"""Under this name the page finds the scripts of this plugin."""
OWN_SCRIPTS: Final = Path(__file__).parent / "web"
TEMPLATE_FOLDERS: Final = ("example_workflows", "example", "examples", "workflow", "workflows")


class PackFolders:
    """The folders of all packs that the workers told of."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def scripts(self) -> Mapping[str, Path]:
        """Folders of scripts by pack, with the own one."""
        return {OWN_NAME: OWN_SCRIPTS} | {name: folder for name, folder in self._web_folders() if folder.is_dir()}

    def beside(self, name: str) -> dict[str, Path]:
        """Folders of this name in the packs' own folders, by pack."""
        found = {pack: folder / name for pack, folder in self._own_folders()}
        return {pack: folder for pack, folder in found.items() if folder.is_dir()}

    def templates(self) -> Mapping[str, Path]:
        """Folders of workflow templates by pack; the first name that is there counts."""
        found: dict[str, Path] = {}
        for name in TEMPLATE_FOLDERS:
            found = self.beside(name) | found
        return found

    def _own_folders(self) -> Iterator[tuple[str, Path]]:
        beside_scripts = {name: folder.parent for name, folder in self._web_folders()}
        for pack in self._kernel.node_packs():
            name = str(pack["name"])
            if folder := pack.get("directory") or beside_scripts.get(name):
                yield name, Path(str(folder))

    def _web_folders(self) -> Iterator[tuple[str, Path]]:
        for pack in self._kernel.node_packs():
            if folder := pack.get("web_directory"):
                yield str(pack["name"]), Path(str(folder))


def files_below(folder: Path, pattern: str) -> list[str]:
    """Paths of files relative to a folder, with ``/``, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.glob(pattern) if path.is_file())


def versions_below(folders: Mapping[str, Path], pattern: str) -> tuple[tuple[str, int, int], ...]:
    """Path, time and size of files in folders of packs: the same as long as nothing was changed."""
    files = (path for folder in folders.values() for path in sorted(folder.glob(pattern)))
    status = ((str(path), path.stat()) for path in files)
    return tuple((path, each.st_mtime_ns, each.st_size) for path, each in status)
