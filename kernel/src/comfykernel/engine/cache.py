"""What a worker remembers between prompts: outputs of nodes by signature, and instances of class-form nodes.

Policies (``execution.cache``): ``classic`` keeps what the last prompt used; ``lru`` keeps the ``cache_size`` outputs
used last; ``ram`` keeps all while ``cache_ram_gb`` of memory are free; ``none`` keeps nothing.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .memory_size import leaves, memory_size
from .sharing import is_array, storage_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from comfykernel_sdk.json_types import JsonObject
    from comfykernel_sdk.settings import ExecutionSettings

    from .run_graph import RunGraph, Vertex

FREE_RAM_SHARE: Final = 0.15
"""Of the machine's memory: what the ``ram`` policy leaves free when the settings do not say how much."""
LOOK_EVERY_S: Final = 0.05
"""How often the ``ram`` policy looks at the free memory while a prompt runs; to ask the system takes 50 us."""


@dataclass(slots=True)
class Entry:
    """Outputs of one node: for each output the list of its values.

    ``inner`` holds what the output nodes of its expansion showed: node id -> (ui, meta). ``root`` is id and class
    of the prompt's node that it was expanded from, ``run`` the number of the run that used it last.
    """

    outputs: list[list[object]]
    ui: JsonObject | None
    meta: JsonObject
    root: tuple[str, str] | None
    inner: dict[str, tuple[JsonObject, JsonObject]]
    run: int = 0


class OutputCache:
    """Base of the policies; by itself it is ``none``: every node runs in every prompt."""

    keeps_nothing = True

    def __init__(self) -> None:
        self.entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._run = 0

    def get(self, signature: bytes) -> Entry | None:
        """The entry, which is thereby used in this run."""
        entry = self.entries.get(signature)
        if entry is not None:
            entry.run = self._run
            self.entries.move_to_end(signature)
        return entry

    def put(self, signature: bytes, entry: Entry) -> None:
        """Remember the outputs of a node that has run."""
        if not self.keeps_nothing:
            entry.run = self._run
            self.entries[signature] = entry

    def begin(self, graph: RunGraph) -> None:
        """A run begins; its nodes are signed."""
        self._run += 1

    def end(self, expanded: Collection[str], *, complete: bool) -> None:
        """A run has ended; ``expanded`` are the nodes of the prompt whose expansion ran."""

    def forget(self, spoilt: Iterable[object]) -> None:
        """Forget outputs that hold any of these arrays, or others over the same memory."""
        storages = {storage_of(array) for array in spoilt}
        for signature, entry in [*self.entries.items()]:
            arrays = (leaf for leaf in leaves(entry.outputs) if is_array(type(leaf)))
            if any(storage_of(array) in storages for array in arrays):
                del self.entries[signature]

    def clear(self) -> None:
        """Forget everything."""
        self.entries.clear()

    def size(self) -> int:
        """Bytes of all that is kept, as far as arrays, texts and containers tell theirs."""
        return memory_size([entry.outputs for entry in self.entries.values()])


class ClassicCache(OutputCache):
    """Keeps what the last prompt used, and what expansions of its nodes used."""

    keeps_nothing = False

    def begin(self, graph: RunGraph) -> None:
        """Drop what this prompt can't use before it needs the memory."""
        super().begin(graph)
        wanted = {vertex.signature for vertex in graph.vertices.values()}
        roots = {(vertex.id, vertex.node_class.id) for vertex in graph.vertices.values()}
        self._keep(lambda signature, entry: signature in wanted or entry.root in roots)

    def end(self, expanded: Collection[str], *, complete: bool) -> None:
        """Drop what earlier expansions of the same nodes left; a run that broke off has not used all it will."""
        if complete and expanded:
            run = self._run
            self._keep(lambda _, entry: entry.run == run or entry.root is None or entry.root[0] not in expanded)

    def _keep(self, wanted: Callable[[bytes, Entry], bool]) -> None:
        for signature in [s for s, entry in self.entries.items() if not wanted(s, entry)]:
            del self.entries[signature]


class LruCache(OutputCache):
    """Keeps the outputs of so many nodes, those used last."""

    keeps_nothing = False

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def put(self, signature: bytes, entry: Entry) -> None:
        """Remember; what was used longest ago makes room."""
        super().put(signature, entry)
        self.entries.move_to_end(signature)
        while len(self.entries) > self._limit:
            self.entries.popitem(last=False)


class RamCache(OutputCache):
    """Keeps everything until less memory is free than ``headroom`` bytes; then what was used longest ago goes first."""

    keeps_nothing = False

    def __init__(self, headroom: int) -> None:
        super().__init__()
        self._headroom = headroom
        self._looked = 0.0

    def put(self, signature: bytes, entry: Entry) -> None:
        """Remember; a prompt that makes much needs room before it ends."""
        super().put(signature, entry)
        if time.monotonic() - self._looked > LOOK_EVERY_S:
            self._make_room()

    def begin(self, graph: RunGraph) -> None:
        """Make room before a prompt needs it."""
        super().begin(graph)
        self._make_room()

    def end(self, expanded: Collection[str], *, complete: bool) -> None:
        """Make room for other programs."""
        self._make_room()

    def _make_room(self) -> None:
        missing = self._headroom - available_ram()
        while missing > 0 and self.entries:
            _, entry = self.entries.popitem(last=False)
            missing -= memory_size(entry.outputs)
        self._looked = time.monotonic()


def available_ram() -> int:
    """Bytes that programs can have without swapping."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            fields = dict(line.split(":", 1) for line in lines)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def make_cache(settings: ExecutionSettings) -> OutputCache:
    """The cache of the configured policy."""
    if settings.cache == "lru":
        return LruCache(settings.cache_size)
    if settings.cache == "ram":
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return RamCache(int(settings.cache_ram_gb * 1024**3) or int(FREE_RAM_SHARE * machine))
    return ClassicCache() if settings.cache == "classic" else OutputCache()


class Instances:
    """Instances of class-form nodes: one lives as long as a prompt has its id with its class."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[str, object]] = {}

    def of(self, vertex: Vertex) -> object:
        """The instance of a node, made at first use; ``None`` for functions."""
        create = vertex.node_class.definition.create
        if create is None:
            return None
        key = (vertex.id, vertex.node_class.id)
        if key not in self._kept:
            self._kept[key] = (vertex.place.real(), create())
        return self._kept[key][1]

    def begin(self, graph: RunGraph) -> None:
        """Let go of instances whose node is not in this prompt."""
        classes = {id: vertex.node_class.id for id, vertex in graph.vertices.items()}
        gone = [k for k, (root, _) in self._kept.items() if root not in classes or classes.get(k[0], k[1]) != k[1]]
        for key in gone:
            del self._kept[key]

    def clear(self) -> None:
        """Let go of all."""
        self._kept.clear()
