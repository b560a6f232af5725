"""What the process that imports a pack tells the one that judges it."""

from __future__ import annotations

import msgspec

from comfykernel_sdk.json_types import Json
from comfykernel_sdk.nodes import NodeSpec
from comfykernel_sdk.settings import Settings


class Request(msgspec.Struct, kw_only=True):
    """Which pack, and with which settings its plugin is called."""

    distribution: str
    entries: dict[str, str]
    packages: list[str]
    search: list[str]
    settings: Settings
    with_others: bool = True


class Failure(msgspec.Struct, kw_only=True):
    """An exception of the pack; the place is the innermost line of its own files."""

    doing: str
    message: str
    traceback: str
    file: str = ""
    line: int | None = None


class HeavyImport(msgspec.Struct, kw_only=True):
    """A large library that was imported when the plugin was found, and the line of the pack that asked for it."""

    module: str
    file: str = ""
    line: int | None = None


class Declared(msgspec.Struct, kw_only=True):
    """A parameter of a node as Python sees it."""

    line: int | None = None
    default: Json | msgspec.UnsetType = msgspec.UNSET
    mismatch: str = ""
    """How the annotated Python type contradicts what clients see; empty: it does not."""


class Inspected(msgspec.Struct, kw_only=True):
    """A node and its source."""

    spec: NodeSpec
    pack: str
    file: str = ""
    line: int | None = None
    parameters: dict[str, Declared] = {}


class Inspection(msgspec.Struct, kw_only=True):
    """All that the import of a pack shows. Times are seconds of the processor.

    ``taken``: node id -> distribution of the other packs; ``given`` and ``wanted``: the types of their outputs and
    inputs; ``broken``: those that did not load.
    """

    import_s: float = 0.0
    register_s: float = 0.0
    failure: Failure | None = None
    heavy: list[HeavyImport] = []
    imported: list[str] = []
    nodes: list[Inspected] = []
    web_directories: dict[str, str] = {}
    taken: dict[str, str] = {}
    given: list[str] = []
    wanted: list[str] = []
    broken: list[str] = []
