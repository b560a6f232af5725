"""Packs that are loaded into this process, and everything of them taken away again."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from comfykernel_compat_comfyui import missing_names, peer_names
from comfykernel_compat_comfyui.compat_settings import NAME
from comfykernel_compat_comfyui.loading.worker_setup import load_into_worker
from comfykernel_compat_comfyui.worker_side.prompt_server import PromptServer
from comfykernel_sdk.nodes import NodeDefinition, NodePack
from comfykernel_sdk.settings import Settings
from comfykernel_sdk.testing import GraphRun, GraphRunner

PACKS = Path(__file__).parents[2] / "packs" / "comfyui_packs"
CHANGED_BY_PACKS = ("folder_paths", "nodes")


class LoadedPacks:
    """What loading packs from a folder gave."""

    def __init__(self, base: Path, **plugin: Any) -> None:
        self.settings = Settings()
        self.settings.paths.base = str(base)
        self.settings.plugin[NAME] = plugin
        self.packs: dict[str, NodePack] = {}
        # The server object is made anew each time; nothing listens without a storage.
        forget_server()
        load_into_worker(self._register, self.settings, None)

    def _register(self, pack: NodePack) -> None:
        self.packs[pack.name] = pack

    @property
    def nodes(self) -> dict[str, NodeDefinition]:
        """All nodes of all packs; of one name the first."""
        found: dict[str, NodeDefinition] = {}
        for pack in self.packs.values():
            for id, definition in pack.nodes.items():
                found.setdefault(id, definition)
        return found

    def error(self, pack: str) -> str:
        """The traceback of a pack that failed."""
        return str(self.packs[pack].about["error"])

    def run(self, graph: dict[str, Any], **more: Any) -> GraphRun:
        """Run a graph of nodes of these packs: ``{"1": ("Echo", {"value": "a"})}``."""
        nodes = {id: {"class_type": name, "inputs": inputs} for id, (name, inputs) in graph.items()}
        return GraphRunner(self.nodes.values()).run(nodes, **more)


LoadPacks = Callable[..., LoadedPacks]


@pytest.fixture
def load_packs(tmp_path: Path) -> Iterator[LoadPacks]:
    """``load_packs("class_pack", ...)`` copies these packs of the tests into a folder and loads them."""

    def load(*names: str, **plugin: Any) -> LoadedPacks:
        for name in names:
            source, target = PACKS / name, tmp_path / "custom_nodes" / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
        return LoadedPacks(tmp_path, **plugin)

    (tmp_path / "custom_nodes").mkdir()
    yield load
    forget_packs()


def forget_packs() -> None:
    """Take packs and the names that they imported out of this process."""
    peer_names.uninstall()
    forget_server()
    missing_names.pack_folders.clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "custom_nodes"]:
        del sys.modules[name]
    for name in CHANGED_BY_PACKS:
        importlib.reload(importlib.import_module(f"comfykernel_compat_comfyui.shims.{name}"))


def forget_server() -> None:
    """Close the event loop of the server object that packs had."""
    if (server := vars(PromptServer).get("instance")) is not None:
        server.loop.close()
        del PromptServer.instance
