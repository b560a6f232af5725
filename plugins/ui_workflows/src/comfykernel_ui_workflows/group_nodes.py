"""Group nodes, which the editor had before subgraphs, as definitions of subgraphs.

A group holds nodes by their index. Its inputs and widgets are those of its nodes that no link inside feeds, in the
order of the nodes; a name that was there before gets the node's title in front.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from comfykernel_sdk.json_types import Json, JsonObject
from comfykernel_sdk.nodes import InputSpec

from .companions import has_control
from .document import INPUT_NODE, OUTPUT_NODE, Drawn, Link, Part, Port, Slot, read_nodes
from .following import DRAWN_ONLY, REROUTE
from .problems import Problem, refusal, shortened
from .widgets import in_drawn_order, is_widget, read_values

if TYPE_CHECKING:
    from .interfaces import Interfaces

TYPE_PREFIXES: Final = ("workflow>", "workflow/")
"""What the types of group nodes begin with, before the name of the group."""


class _Group(msgspec.Struct):
    nodes: list[Json]
    links: list[list[Json]] = []
    external: list[list[Json]] = []
    config: dict[str, JsonObject] | None = None


class _Wire(NamedTuple):
    origin: int
    origin_slot: int
    target: int
    target_slot: int


def group_definitions(groups: Mapping[str, Json], interfaces: Interfaces) -> dict[str, Part]:
    """Type of the group node -> definition.

    Raises:
        InvalidPrompt: ``invalid_workflow``, when a group has the wrong form.
    """
    definitions: dict[str, Part] = {}
    for name, raw in groups.items():
        part = _definition(name, raw, interfaces)
        for prefix in TYPE_PREFIXES:
            definitions[prefix + name] = part
    return definitions


def _definition(name: str, raw: Json, interfaces: Interfaces) -> Part:
    place = f"extra.groupNodes.{shortened(name)}"
    try:
        group = msgspec.convert(raw, _Group)
    except msgspec.ValidationError as error:
        hint = "Open the file in the editor and unpack the group node."
        raise refusal([Problem(type="invalid_workflow", message=f"{place}: {error}", hint=hint, field=place)]) from None
    indexed = [{**node, "id": index} if isinstance(node, dict) else node for index, node in enumerate(group.nodes)]
    nodes = read_nodes(indexed, f"{place}.nodes")
    return _Building(name, nodes, group, interfaces).part


def _wire(raw: list[Json], nodes: int) -> _Wire | None:
    """A link between two nodes of the group; those from and to the outside have a null."""
    ends = [each for each in raw[:4] if isinstance(each, int) and each >= 0]
    wire = _Wire(*ends) if len(ends) == 4 else None
    return wire if wire is not None and wire.origin < nodes and wire.target < nodes else None


class _Building:
    """A definition while it is made."""

    def __init__(self, name: str, nodes: list[Drawn], group: _Group, interfaces: Interfaces) -> None:
        self.part = Part(id=name, name=name, promoted=[])
        self.part.nodes = {node.key: node for node in nodes}
        self._interfaces = interfaces
        self._config = group.config or {}
        self._names: dict[str, int] = {}
        self._shown = [(each[0], each[1]) for each in group.external if len(each) > 1]
        for node in nodes:
            for slot in node.inputs or ():
                slot.link = None
        wires = [wire for each in group.links if (wire := _wire(each, len(nodes))) is not None]
        for wire in wires:
            slots = nodes[wire.target].inputs or []
            if wire.target_slot < len(slots):
                ends = str(wire.origin), wire.origin_slot, str(wire.target), wire.target_slot
                slots[wire.target_slot].link = self._link(*ends)
        used = {(wire.origin, wire.origin_slot) for wire in wires}
        for index, node in enumerate(nodes):
            self._add_inputs(index, node)
            self._add_outputs(index, node, used)

    def _link(self, origin: str, origin_slot: int, target: str, target_slot: int) -> int:
        id = len(self.part.links)
        self.part.links[str(id)] = Link(origin, origin_slot, target, target_slot)
        return id

    def _add_inputs(self, index: int, node: Drawn) -> None:
        """Lead each widget, and each input that no link inside feeds, to an input of the group."""
        if node.type in DRAWN_ONLY - {REROUTE}:
            return
        declared = in_drawn_order(self._interfaces.inputs_of(node) or ())
        stored = {each.name: each.value for each in read_values(declared, node)}
        node.inputs = slots = node.inputs or []
        by_name = {slot.input_name: slot for slot in slots}
        for spec in declared:
            if spec.name not in by_name and is_widget(spec):
                slot = by_name[spec.name] = Slot(name=spec.name, type=spec.type, widget={"name": spec.name})
                slots.append(slot)
                port = self._lead_in(index, node, slot)
                self._promote(port, spec, stored.get(spec.name))
        for slot in slots:
            if slot.link is None:
                self._lead_in(index, node, slot)

    def _lead_in(self, index: int, node: Drawn, slot: Slot) -> str:
        """A new input of the group that feeds a slot; returns its name."""
        port = self._free_name(index, node, slot.input_name)
        slot.link = self._link(INPUT_NODE, len(self.part.inputs), node.key, (node.inputs or []).index(slot))
        self.part.inputs.append(Port(name=port))
        return port

    def _promote(self, port: str, spec: InputSpec, value: Json) -> None:
        """Take up a widget among those of the group; its name no longer tells whether it has a control."""
        options: JsonObject = {**(spec.options or {}), "control_after_generate": has_control(spec), "default": value}
        assert self.part.promoted is not None
        self.part.promoted.append(msgspec.structs.replace(spec, name=port, group="required", options=options))

    def _free_name(self, index: int, node: Drawn, name: str) -> str:
        chosen = (self._config.get(str(index)) or {}).get("input")
        own = chosen.get(name) if isinstance(chosen, dict) else None
        if isinstance(own, dict) and isinstance(own.get("name"), str):
            name = str(own["name"])
        key = name
        if key in self._names:
            key = f"{node.title or node.type} {name}"
            name = key if key not in self._names else f"{node.title or node.type} {self._names[key]} {name}"
        self._names[key] = self._names.get(key, 1) + 1
        return name

    def _add_outputs(self, index: int, node: Drawn, used: Collection[tuple[int, int]]) -> None:
        """Lead each output that no node inside takes, or that is shown all the same, to an output of the group."""
        chosen = (self._config.get(str(index)) or {}).get("output")
        for slot, output in enumerate(node.outputs or ()):
            own = chosen.get(str(slot)) if isinstance(chosen, dict) else None
            shown = own.get("visible") if isinstance(own, dict) else None
            if shown is None:
                shown = (index, slot) not in used or (index, slot) in self._shown
            if shown:
                self._link(node.key, slot, OUTPUT_NODE, len(self.part.outputs))
                self.part.outputs.append(Port(name=output.input_name))
