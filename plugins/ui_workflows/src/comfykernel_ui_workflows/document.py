"""The editor's file as typed records; members that a conversion does not need are ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeVar

import msgspec

from comfykernel_sdk.json_types import Json, JsonObject
from comfykernel_sdk.nodes import InputSpec

from .problems import Problem, refusal, shortened

T = TypeVar("T")

LONGEST_ID: Final = 200
"""Characters of a node's or link's id; ids are joined along nested subgraphs."""

AT_ONCE: Final = 250
"""Nodes that are read in one go; between two of them other threads get their turn."""

INPUT_NODE: Final = "-10"
OUTPUT_NODE: Final = "-20"
"""Ids inside a definition that stand for its inputs and its outputs."""

MUTED: Final = 2
BYPASSED: Final = 4

Id = int | str


class Slot(msgspec.Struct, gc=False):
    """An input or output of a drawn node. ``widget`` marks an input that is a widget as well."""

    name: str | None = None
    type: Json = "*"
    link: Id | None = None
    widget: Json = None

    @property
    def input_name(self) -> str:
        """The name of the node's input: the slot's own or, where it has none, its widget's."""
        name = self.name or (self.widget.get("name") if isinstance(self.widget, dict) else "")
        return str(name or "")

    @property
    def wire_type(self) -> str:
        """The type as a text: ``*`` for any; files of old have lists of choices and numbers here."""
        if isinstance(self.type, list):
            return "COMBO"
        return self.type if isinstance(self.type, str) and self.type else "*"


class Drawn(msgspec.Struct, gc=False):
    """A node as the editor saves it."""

    id: Id
    type: str
    mode: int | None = None
    inputs: list[Slot] | None = None
    outputs: list[Slot] | None = None
    widgets_values: Json = None
    widgets_values_named: JsonObject | None = None
    title: str | None = None
    properties: JsonObject | None = None

    @property
    def key(self) -> str:
        """The id as prompts have it."""
        return str(self.id)

    @property
    def takes_part(self) -> bool:
        """Whether it is neither muted nor bypassed."""
        return self.mode not in (MUTED, BYPASSED)


class Link(NamedTuple):
    """A connection inside one drawing."""

    origin: str
    origin_slot: int
    target: str
    target_slot: int


class Port(msgspec.Struct):
    """An input or output of a subgraph definition."""

    name: str = ""


class _LinkObject(msgspec.Struct):
    id: Id
    origin_id: Id
    origin_slot: int
    target_id: Id
    target_slot: int


class _NodeOfDrawing(msgspec.Struct):
    id: Id


class _Drawing(msgspec.Struct):
    nodes: list[Json]
    links: list[Json] | None = None


class _Definition(_Drawing, rename={"input_node": "inputNode", "output_node": "outputNode"}):
    id: str = ""
    name: str = ""
    inputs: list[Port] | None = None
    outputs: list[Port] | None = None
    input_node: _NodeOfDrawing | None = None
    output_node: _NodeOfDrawing | None = None


class _Definitions(msgspec.Struct):
    subgraphs: list[Json] | None = None


class _Extra(msgspec.Struct, rename={"group_nodes": "groupNodes"}):
    group_nodes: dict[str, Json] | None = None


class _Document(_Drawing):
    definitions: _Definitions | None = None
    extra: _Extra | None = None


class Part:
    """One drawing: the root graph, or the definition of a subgraph.

    ``promoted``: the widgets that an instance shows, where its values have controls between them (group nodes);
    ``None``: one value for each input that ends at a widget.
    """

    __slots__ = (
        "_by_target", "id", "input_node", "inputs", "links", "name", "nodes", "output_node", "outputs", "promoted",
    )  # fmt: skip

    def __init__(
        self,
        *,
        id: str = "",
        name: str = "",
        inputs: list[Port] | None = None,
        outputs: list[Port] | None = None,
        input_node: str = INPUT_NODE,
        output_node: str = OUTPUT_NODE,
        promoted: list[InputSpec] | None = None,
    ) -> None:
        self.id, self.name = id, name
        self.nodes: dict[str, Drawn] = {}
        self.links: dict[str, Link] = {}
        self.inputs, self.outputs = inputs or [], outputs or []
        self.input_node, self.output_node = input_node, output_node
        self.promoted = promoted
        self._by_target: dict[tuple[str, int], Link] | None = None

    def link(self, node: Drawn, slot: Slot) -> Link | None:
        """The link that ends at a linked slot: the one it names, else the one that names it; ``None``: neither."""
        found = self.links.get(str(slot.link))
        if found is not None:
            return found
        if self._by_target is None:
            self._by_target = {(link.target, link.target_slot): link for link in self.links.values()}
        index = next((place for place, each in enumerate(node.inputs or ()) if each is slot), -1)
        return self._by_target.get((node.key, index))

    def ends(self) -> dict[int, Link]:
        """Output number of the definition -> the link that ends there."""
        return {link.target_slot: link for link in self.links.values() if link.target == self.output_node}


class Workflow(NamedTuple):
    """A whole file: the root graph, subgraph definitions by id, and the group nodes of old by name, not yet read."""

    root: Part
    definitions: dict[str, Part]
    groups: dict[str, Json]


def is_editor_document(document: Json) -> bool:
    """Tell the editor's format from a prompt: it has a list of nodes, where each member of a prompt is an object."""
    return isinstance(document, dict) and isinstance(document.get("nodes"), list)


def read_workflow(document: JsonObject) -> Workflow:
    """The records of a file.

    Raises:
        InvalidPrompt: ``invalid_workflow``, with the place of the first thing that has the wrong form.
    """
    found = _convert(document, _Document, "")
    root = Part()
    _fill(root, found, "")
    definitions: dict[str, Part] = {}
    for index, raw in enumerate((found.definitions and found.definitions.subgraphs) or ()):
        place = f"definitions.subgraphs[{index}]"
        read = _convert(raw, _Definition, place)
        part = definitions[read.id] = Part(
            id=read.id,
            name=read.name,
            inputs=read.inputs,
            outputs=read.outputs,
            input_node=str(read.input_node.id) if read.input_node else INPUT_NODE,
            output_node=str(read.output_node.id) if read.output_node else OUTPUT_NODE,
        )
        _fill(part, read, f"{place}.")
    return Workflow(root, definitions, (found.extra and found.extra.group_nodes) or {})


def read_nodes(raw: list[Json], place: str) -> list[Drawn]:
    """The nodes of one drawing."""
    nodes: list[Drawn] = []
    for start in range(0, len(raw), AT_ONCE):
        part = raw[start : start + AT_ONCE]
        try:
            nodes += msgspec.convert(part, list[Drawn])
        except msgspec.ValidationError:
            nodes += [_convert(each, Drawn, f"{place}[{index}]") for index, each in enumerate(part, start)]
    return nodes


def _fill(part: Part, drawing: _Drawing, place: str) -> None:
    for index, node in enumerate(read_nodes(drawing.nodes, f"{place}nodes")):
        if len(node.key) > LONGEST_ID:
            raise _malformed(f"{place}nodes[{index}].id", f"The id is longer than {LONGEST_ID} characters.", node)
        if node.key in part.nodes:
            raise _malformed(f"{place}nodes[{index}].id", f"Two nodes have the id {node.key}.", node)
        part.nodes[node.key] = node
    for index, raw in enumerate(drawing.links or ()):
        if raw is not None:  # a link that was removed may leave a gap
            id, link = _read_link(raw, f"{place}links[{index}]")
            part.links[id] = link


def _read_link(raw: Json, place: str) -> tuple[str, Link]:
    """A link in either of its forms: six items, or an object."""
    if isinstance(raw, list):
        names = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
        if len(raw) < len(names):
            raise _malformed(place, f"A link has at least {len(names)} items, not {len(raw)}.")
        raw = dict(zip(names, raw, strict=False))
    found = _convert(raw, _LinkObject, place)
    return str(found.id), Link(str(found.origin_id), found.origin_slot, str(found.target_id), found.target_slot)


def _convert(raw: Json, type: type[T], place: str) -> T:
    try:
        return msgspec.convert(raw, type)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        field = (place + path.rstrip("`")).lstrip(".") or "the document"
        raise _malformed(field, f"{text}.", raw if type is Drawn else None) from None


def _malformed(field: str, text: str, node: object = None) -> Exception:
    id, kind = _named(node)
    return refusal([
        Problem(
            type="invalid_workflow",
            message=f"{field}: {text}",
            hint="The file is damaged or no workflow: open it in the editor and save it again.",
            node_id=id,
            class_type=kind,
            field=re.sub(r"^.*nodes\[\d+\]\.?", "", field) if id else field,
        )
    ])  # fmt: skip


def _named(node: object) -> tuple[str, str]:
    if isinstance(node, Drawn):
        return shortened(node.key), shortened(node.type)
    if isinstance(node, Mapping) and isinstance(node.get("id"), (int, str)):
        return shortened(node["id"]), shortened(node.get("type", ""))
    return "", ""
