"""The nodes of a worker: classes by name, names claimed by several packs, and the catalog told to the server."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from comfykernel_sdk.nodes import NodePack
from comfykernel_sdk.scheduler import Catalog
from comfykernel_sdk.transport import PluginInfo

from ..plugin_host import LoadedPack
from .node_class import NodeClass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from comfykernel_sdk.json_types import JsonObject
    from comfykernel_sdk.nodes import NodeDefinition

log = logging.getLogger(__name__)


class Registry:
    """Every node of these packs; where two claim one name the earlier pack has it.

    The other one stays reachable as ``PACK:NAME``.
    """

    def __init__(self, packs: Iterable[LoadedPack], *, fingerprint: str = "") -> None:
        self.classes: dict[str, NodeClass] = {}
        self.catalog = Catalog(fingerprint=fingerprint)
        self._owners: dict[str, LoadedPack] = {}
        self._collisions: dict[str, JsonObject] = {}
        for loaded in packs:
            self._add_pack(loaded)
        self.catalog.nodes = {id: known.spec for id, known in self.classes.items()}
        self.catalog.collisions = list(self._collisions.values())

    @classmethod
    def of(cls, items: Iterable[object], *, pack: str = "nodes") -> Registry:
        """A registry of single nodes: definitions, or functions and classes decorated with ``@node``."""
        return cls([LoadedPack(NodePack(pack, items), PluginInfo(name="", kind="node"))])

    def _add_pack(self, loaded: LoadedPack) -> None:
        pack, plugin = loaded.pack, loaded.plugin
        for id, definition in pack.nodes.items():
            owner = self._owners.setdefault(id, loaded)
            if owner is not loaded:
                self._report_collision(id, owner, loaded)
            self._add(id if owner is loaded else f"{pack.name}:{id}", definition, loaded)
        origin: JsonObject = {"name": plugin.name, "distribution": plugin.distribution, "error": plugin.error}
        about: JsonObject = {
            "name": pack.name, "plugin": origin, "distribution": plugin.distribution, "version": plugin.version,
            "nodes": list(pack.nodes), "seconds": plugin.seconds, "error": plugin.error,
            "directory": pack.directory, "web_directory": str(pack.web_directory) if pack.web_directory else None,
            "replacements": msgspec.to_builtins(pack.replacements, str_keys=True), **pack.about,
        }  # fmt: skip
        self.catalog.packs.append(about)

    def _add(self, id: str, definition: NodeDefinition, loaded: LoadedPack) -> None:
        spec = definition.spec
        distribution = spec.distribution or loaded.plugin.distribution
        module = spec.python_module or f"custom_nodes.{loaded.pack.name}"
        spec = msgspec.structs.replace(spec, id=id, distribution=distribution, python_module=module)
        self.classes[id] = NodeClass(msgspec.structs.replace(definition, spec=spec))

    def _report_collision(self, id: str, winner: LoadedPack, loser: LoadedPack) -> None:
        report = self._collisions.setdefault(id, {"id": id, "winner": _named(winner), "losers": []})
        losers = report["losers"]
        assert isinstance(losers, list)
        losers.append({**_named(loser), "reachable_as": (other := f"{loser.pack.name}:{id}")})
        owner, second = (
            f"{each.pack.name} ({each.plugin.distribution or 'no distribution'})" for each in (winner, loser)
        )
        log.warning("Node %s is in %s and in %s: the former has the name, the latter is %s.", id, owner, second, other)


def _named(loaded: LoadedPack) -> JsonObject:
    return {"pack": loaded.pack.name, "distribution": loaded.plugin.distribution, "version": loaded.plugin.version}
