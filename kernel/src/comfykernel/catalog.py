"""The catalog in the server: known from the last start, replaced when a worker has told its nodes."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import logging
import mimetypes
import os
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import msgspec

from comfykernel_sdk.dynamic import all_inputs
from comfykernel_sdk.errors import NotFound, Unavailable
from comfykernel_sdk.json_types import Json, JsonObject
from comfykernel_sdk.nodes import Replacement
from comfykernel_sdk.scheduler import Catalog
from comfykernel_sdk.transport import Catalogued

if TYPE_CHECKING:
    from collections.abc import Callable

    from comfykernel_sdk.nodes import InputSpec, NodeSpec
    from comfykernel_sdk.storage import Storage

log = logging.getLogger(__name__)

INPUT_SOURCE: Final = "input"
FOLDERS: Final = "folder"
"""The kind by which the folders below the input folder are listed instead of its files."""
MATCHED: Final = "COMFY_MATCHTYPE_V3"
"""What stands in object_info for an input or output of a type template."""
CACHE_FILE: Final = "catalog.msgpack"
FIRST_CATALOG_WAIT_S: Final = 120.0
"""How long a client that asks for nodes waits for the first worker of a fresh installation."""


class CatalogKeeper:
    """Holds the catalog, resolves named choices, and keeps ready bytes of object_info."""

    def __init__(self, storage: Storage, state_directory: Path, fingerprint: str) -> None:
        self._storage = storage
        self._path = state_directory / CACHE_FILE
        self._known = asyncio.Event()
        self._rendered: tuple[list[list[str]], Catalogued] | None = None
        self._sources: list[tuple[str, tuple[str, ...]]] = []
        self._problem = ""
        self.replacements: dict[str, Replacement] = {}
        """Node id that is gone -> the first pack's replacement for it."""
        self.catalog = Catalog()
        self._load(fingerprint)

    @property
    def specs(self) -> dict[str, NodeSpec]:
        """Class name -> spec of every known node."""
        return self.catalog.nodes

    def set(self, catalog: Catalog) -> None:
        """Replace the catalog by what a worker told, and keep it for the next start."""
        self.hold(catalog)
        self._problem = ""
        self._known.set()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_bytes(msgspec.msgpack.encode(catalog))
            temporary.replace(self._path)
        except OSError as error:
            log.warning("The catalog can't be kept in %s (%s): the next start waits for a worker.", self._path, error)

    def report_problem(self, text: str) -> None:
        """Why no worker can tell its nodes; whoever waits for the first catalog is told."""
        self._problem = text
        if text and not self.catalog.nodes:
            self._known.set()

    async def wait(self) -> None:
        """Wait for the first catalog.

        Raises:
            Unavailable: it did not come; says why.
        """
        if self.catalog.nodes:
            return
        try:
            async with asyncio.timeout(FIRST_CATALOG_WAIT_S):
                await self._known.wait()
        except TimeoutError:
            self._problem = self._problem or f"No worker was ready within {FIRST_CATALOG_WAIT_S:g} s."
        if not self.catalog.nodes:
            self._known.clear()
            raise Unavailable("The nodes are not known.", details=self._problem, hint="See `comfykernel plugins`.")

    def choices_now(self) -> Callable[[InputSpec], list[Json] | None]:
        """Gives the allowed values of an input, those of the source that it names first; each source is read once."""
        return partial(_choices, source=cache(self._source))

    def _source(self, name: str, kinds: tuple[str, ...]) -> list[str]:
        if name != INPUT_SOURCE:
            try:
                return self._storage.models.names(name)
            except NotFound:
                return []
        if kinds == (FOLDERS,):
            below = {PurePosixPath(info.ref.subfolder) for info in self._storage.files.list("input", recursive=True)}
            return sorted({str(folder) for path in below for folder in (path, *path.parents)} - {"."})
        names = (info.ref.filename for info in self._storage.files.list("input"))
        return sorted(n for n in names if not kinds or {_kind(n), n[n.rfind(".") :]} & {*kinds})

    def object_info(self) -> Catalogued:
        """All nodes as ready bytes; made again only when the catalog or a list of files has changed."""
        state = [self._source(*source) for source in self._sources]
        if self._rendered is None or self._rendered[0] != state:
            data = msgspec.json.encode({id: self.node_info(spec) for id, spec in self.specs.items()})
            packed = gzip.compress(data, compresslevel=6, mtime=0)
            etag = f'"{hashlib.blake2b(data, digest_size=16).hexdigest()}"'
            self._rendered = (state, Catalogued(data, packed, etag))
        return self._rendered[1]

    def node_info(self, spec: NodeSpec) -> JsonObject:
        """One node in the form of object_info."""
        groups = self._groups(spec.inputs)
        info: JsonObject = {
            "input": {**groups},
            "input_order": {name: list(group) for name, group in groups.items()},
            "output": [MATCHED if o.match else o.type for o in spec.outputs],
            "output_is_list": [o.is_list for o in spec.outputs],
            "output_name": [o.name for o in spec.outputs],
            "name": spec.id,
            "display_name": spec.display_name or spec.id,
            "description": spec.description,
            "python_module": spec.python_module,
            "category": spec.category,
            "output_node": spec.output_node,
        }
        if any(o.tooltip for o in spec.outputs):
            info["output_tooltips"] = [o.tooltip for o in spec.outputs]
        if any(o.match for o in spec.outputs):
            info["output_matchtypes"] = [o.match or None for o in spec.outputs]
        for flag in ("deprecated", "experimental", "api_node"):
            if (value := getattr(spec, flag)) is not None:
                info[flag] = value
        if spec.search_aliases:
            info["search_aliases"] = list(spec.search_aliases)
        return {**info, **spec.extra}

    def _groups(self, inputs: list[InputSpec]) -> dict[str, JsonObject]:
        groups: dict[str, JsonObject] = {"required": {}}
        for declared in inputs:
            groups.setdefault(declared.group, {})[declared.name] = self._input_info(declared)
        return {name: groups[name] for name in ("required", "optional", "hidden") if name in groups}

    def _dynamic_info(self, spec: InputSpec) -> Json:
        """A matched type, a growing group or a choice that brings inputs, as the web page knows them."""
        template: JsonObject
        if spec.match:
            template = {"template_id": spec.match, "allowed_types": spec.type}
            return [MATCHED, {**(spec.options or {}), "template": template}]
        if spec.slots is not None:
            slots = spec.slots
            names: JsonObject = {"names": [*slots.names]} if slots.prefix is None else {"prefix": slots.prefix}
            template = {"input": {**self._groups([slots.input])}, **names, "min": slots.min}
            if slots.prefix is not None:
                template["max"] = len(slots.names)
            return [spec.type, {**(spec.options or {}), "template": template}]
        branches = (spec.branches or {}).items()
        options: list[Json] = [{"key": key, "inputs": {**self._groups(inputs)}} for key, inputs in branches]
        return [spec.type, {**(spec.options or {}), "options": options}]

    def _input_info(self, spec: InputSpec) -> Json:
        if spec.group == "hidden":
            return spec.type if spec.options is None else [spec.type]
        if spec.match or spec.slots is not None or spec.branches is not None:
            return self._dynamic_info(spec)
        choices = _choices(spec, self._source)
        options = spec.options
        if choices is not None and not spec.as_list:
            options = {**(options or {}), "options": choices}
        shown: Json = choices if choices is not None and spec.as_list else spec.type
        return [shown] if options is None else [shown, options]

    def _load(self, fingerprint: str) -> None:
        try:
            kept = msgspec.msgpack.decode(self._path.read_bytes(), type=Catalog)
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("The kept catalog %s can't be read (%s): a worker will tell its nodes.", self._path, error)
            return
        if kept.fingerprint == fingerprint:
            self.hold(kept)
            self._known.set()

    def hold(self, catalog: Catalog) -> None:
        """Know these nodes from now on, until the server ends."""
        inputs = (i for s in catalog.nodes.values() for i in all_inputs(s.inputs))
        self._sources = sorted({(i.source, tuple(i.kinds)) for i in inputs if i.source is not None})
        self._rendered = None
        told = [replacement for pack in catalog.packs for replacement in pack.get("replacements") or []]  # type: ignore[union-attr]
        found = msgspec.convert(told, list[Replacement], strict=False)
        self.replacements = {r.old: r for r in reversed(found) if r.old not in catalog.nodes}
        self.catalog = catalog


def _choices(spec: InputSpec, source: Callable[[str, tuple[str, ...]], list[str]]) -> list[Json] | None:
    if spec.source is None:
        return spec.choices
    found = source(spec.source, tuple(spec.kinds))
    return [*found, *(choice for choice in spec.choices or [] if choice not in found)]


def _kind(name: str) -> str:
    return (mimetypes.guess_type(name)[0] or "").split("/")[0]
