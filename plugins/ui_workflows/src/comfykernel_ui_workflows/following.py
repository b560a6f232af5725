"""Where the value at the end of a link comes from: through reroutes, bypassed nodes and the borders of subgraphs."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from comfykernel_sdk.json_types import Json

from .bypass import stand_in
from .document import BYPASSED, MUTED
from .problems import Problem, shortened

if TYPE_CHECKING:
    from .document import Drawn, Link, Slot
    from .scopes import Scope

REROUTE: Final = "Reroute"
PRIMITIVE: Final = "PrimitiveNode"
NOTES: Final = ("Note", "MarkdownNote")
DRAWN_ONLY: Final = frozenset({REROUTE, PRIMITIVE, *NOTES})
"""Nodes that the editor knows by itself: none of them is in a prompt."""


class Wire(msgspec.Struct, frozen=True, gc=False):
    """An output of a node of the prompt."""

    node_id: str
    slot: int


class Constant(msgspec.Struct, frozen=True, gc=False):
    """A plain value: of a primitive or, then it is sent as it is (``ready``), of a widget that an instance shows."""

    value: Json
    ready: bool = False


class Nothing(enum.Enum):
    """No value comes."""

    LINK_GONE = enum.auto()
    """As if the link had not been drawn: a widget keeps its own value."""

    INPUT_GONE = enum.auto()
    """The link ends at a node that is left out: the input is left out too."""


Source: TypeAlias = Wire | Constant | Nothing
Step: TypeAlias = "tuple[Scope, Link] | Source"
InstanceValues: TypeAlias = "Mapping[Scope, Mapping[str, Json]]"
_Place: TypeAlias = "tuple[Scope, str, int, str]"


class Follower:
    """Follows links to their sources; each stretch that several links share is walked once.

    Args:
        values: scope of an instance -> its own values by the name of the input.

    Attributes:
        problems: links that end nowhere or run in a circle.
    """

    def __init__(self, values: InstanceValues) -> None:
        self.problems: dict[tuple[str, str, str], Problem] = {}
        self._values = values
        self._known: dict[_Place, Source] = {}

    def source(self, scope: Scope, node: Drawn, slot: Slot) -> Source:
        """What comes to a linked input of a node."""
        wanted = slot.wire_type
        step: Step = self._to_link(scope, node, slot)
        path: dict[_Place, Source] = {}
        while isinstance(step, tuple):
            inside, link = step
            place = (inside, link.origin, link.origin_slot, wanted)
            if place in path:
                self._report(scope, node, slot, "link_cycle", "The link runs in a circle.", "Take one link out of it.")
                step = Nothing.LINK_GONE
            elif (known := self._known.get(place)) is not None:
                step = known
            else:
                path[place] = self._own_value(inside, link)
                step = self._step(inside, link, wanted)
        found: Source = step
        for place in reversed(path):
            if found is Nothing.LINK_GONE:
                found = path[place]
            self._known[place] = found
        return found

    def _step(self, scope: Scope, link: Link, wanted: str) -> Step:
        """From the origin of a link to its source, or to the next link."""
        if scope.parent is not None and link.origin == scope.part.input_node:
            return self._outside(scope, link)
        origin = scope.part.nodes.get(link.origin)
        if origin is None:
            return self._no_origin(scope, link)
        if origin.type == PRIMITIVE:
            return _primitive_value(origin)
        if origin.mode == MUTED or origin.type in NOTES:
            return Nothing.INPUT_GONE
        inputs = origin.inputs or []
        if origin.mode == BYPASSED:
            through = stand_in(inputs, origin.outputs or [], link.origin_slot, wanted)
            return self._to_link(scope, origin, through)
        if origin.type == REROUTE:
            index = link.origin_slot
            return self._to_link(scope, origin, inputs[index] if 0 <= index < len(inputs) else None)
        if (inner := scope.inner.get(origin.key)) is not None:
            final = inner.ends.get(link.origin_slot)
            return Nothing.LINK_GONE if final is None else (inner, final)
        return Wire(scope.full_id(origin), link.origin_slot)

    def _outside(self, scope: Scope, link: Link) -> Step:
        """From an input of a definition to what the instance has there."""
        parent, instance = scope.parent, scope.node
        assert parent is not None
        assert instance is not None
        if not 0 <= link.origin_slot < len(scope.part.inputs):
            return self._no_origin(scope, link)
        slot = scope.slots.get(scope.part.inputs[link.origin_slot].name)
        if slot is not None and slot.link is not None:
            return self._to_link(parent, instance, slot)
        return Nothing.LINK_GONE

    def _own_value(self, scope: Scope, link: Link) -> Source:
        """What the instance has for an input of its definition, when nothing comes from further outside."""
        if scope.parent is None or link.origin != scope.part.input_node:
            return Nothing.LINK_GONE
        if not 0 <= link.origin_slot < len(scope.part.inputs):
            return Nothing.LINK_GONE
        name = scope.part.inputs[link.origin_slot].name
        slot = scope.slots.get(name)
        if slot is not None and slot.link is not None and not self._leads_outside(scope.parent, scope.node, slot):
            return Nothing.LINK_GONE
        values = self._values.get(scope, {})
        return Constant(values[name], ready=True) if name in values else Nothing.LINK_GONE

    def _leads_outside(self, scope: Scope, node: Drawn | None, slot: Slot) -> bool:
        link = scope.part.link(node, slot) if node is not None else None
        return link is not None and scope.parent is not None and link.origin == scope.part.input_node

    def _to_link(self, scope: Scope, node: Drawn, slot: Slot | None) -> Step:
        if slot is None or slot.link is None:
            return Nothing.LINK_GONE
        link = scope.part.link(node, slot)
        if link is None:
            text = f"The link {shortened(slot.link)} of this input is not in the file."
            return self._report(scope, node, slot, "missing_link", text, "Connect the input again.")
        return scope, link

    def _no_origin(self, scope: Scope, link: Link) -> Step:
        target = scope.part.nodes.get(link.target)
        node_id = scope.prefix + link.target
        slots = (target.inputs or []) if target is not None else []
        field = slots[link.target_slot].input_name if 0 <= link.target_slot < len(slots) else ""
        problem = Problem(
            type="missing_link",
            message=f"The link comes from output {link.origin_slot} of node {shortened(link.origin)}: it is missing.",
            hint="Connect the input again.",
            node_id=shortened(node_id),
            class_type=shortened(target.type) if target is not None else "",
            field=shortened(field),
        )
        return self._keep(problem)

    def _report(self, scope: Scope, node: Drawn, slot: Slot, type: str, text: str, hint: str) -> Source:
        id, field = shortened(scope.full_id(node)), shortened(slot.input_name)
        return self._keep(
            Problem(type=type, message=text, hint=hint, node_id=id, class_type=shortened(node.type), field=field)
        )

    def _keep(self, problem: Problem) -> Source:
        self.problems.setdefault((problem.type, problem.node_id, problem.field), problem)
        return Nothing.LINK_GONE


def _primitive_value(node: Drawn) -> Source:
    values = node.widgets_values
    if isinstance(values, dict):
        values = list(values.values())
    return Constant(values[0]) if isinstance(values, list) and values else Nothing.LINK_GONE
