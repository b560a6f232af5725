"""From the editor's document to the prompt graph."""

from __future__ import annotations

from datetime import datetime
from random import Random
from typing import TYPE_CHECKING, Final

from comfykernel_sdk.graph import Graph, is_link

from .document import read_workflow
from .following import DRAWN_ONLY, Constant, Follower, Nothing, Wire
from .group_nodes import group_definitions
from .interfaces import Interfaces
from .problems import Problem, refusal
from .promoted import ShownValues, promoted_inputs
from .scopes import lay_out
from .texts import fill_places, resolve_choices
from .widgets import read_values

if TYPE_CHECKING:
    from comfykernel_sdk.json_types import Json, JsonObject
    from comfykernel_sdk.nodes import InputSpec

    from .document import Drawn
    from .scopes import Scope

FILE_NAME_INPUT: Final = "filename_prefix"
"""The input whose places (``%date:...%``, ``%Node.widget%``) the editor fills in."""

SEARCH_NAME: Final = "Node name for S&R"
"""Property by which such a place names a node; its title is the second choice."""


def convert_document(document: JsonObject, interfaces: Interfaces, *, random: Random, now: datetime) -> Graph:
    """The prompt graph of an editor's document.

    Nodes with plain numbers as ids come first, in their order; then those inside subgraphs, in the order of the file.

    Args:
        document: as read from JSON; not changed.
        interfaces: what is known of the nodes.
        random: makes the choices in prompts (``{a|b}``).
        now: fills the places for dates in file names.

    Raises:
        InvalidPrompt: with everything that is wrong; see :class:`~.problems.Problem` for the types.
    """
    workflow = read_workflow(document)
    definitions = {**group_definitions(workflow.groups, interfaces), **workflow.definitions}
    scopes = lay_out(workflow.root, definitions)
    shown = ShownValues(scopes, promoted_inputs(definitions, interfaces.specs))
    writing = _Writing(interfaces, shown, random)
    for scope in scopes:
        for node in scope.part.nodes.values():
            if node.takes_part and node.type not in DRAWN_ONLY and node.key not in scope.inner:
                writing.add(scope, node)
    if problems := [*writing.problems, *writing.follower.problems.values()]:
        raise refusal(problems)
    writing.fill_file_names(now)
    return dict(sorted(writing.graph.items(), key=lambda entry: _place(entry[0])))


def _place(id: str) -> tuple[bool, int]:
    plain = id.isascii() and id.isdigit() and len(id) < 16
    return (False, int(id)) if plain else (True, 0)


class _Writing:
    """The graph while it is written."""

    def __init__(self, interfaces: Interfaces, shown: ShownValues, random: Random) -> None:
        self.graph: Graph = {}
        self.follower = Follower(shown.own)
        self.problems: list[Problem] = []
        self._interfaces = interfaces
        self._shown = shown.inner
        self._random = random
        self._names: dict[str, JsonObject] = {}
        self._titles: dict[str, JsonObject] = {}

    def add(self, scope: Scope, node: Drawn) -> None:
        """Write one node with its values and links."""
        id = scope.full_id(node)
        declared = self._interfaces.inputs_of(node)
        if declared is None:
            self.problems.append(self._interfaces.unknown(node, id))
            return
        stored = list(read_values(declared, node))
        specs = {each.name: each.spec for each in stored}
        values = {each.name: each.value for each in stored}
        shown = self._shown.get(scope, {}).get(node.key, {})
        values |= {name: value for name, value in shown.items() if name in values}
        texts = {each.name for each in stored if (each.spec.options or {}).get("dynamicPrompts")}
        wires: JsonObject = {}
        for slot in node.inputs or ():
            if slot.link is None:
                continue
            name = slot.input_name
            match self.follower.source(scope, node, slot):
                case Wire(node_id=source, slot=index):
                    wires[name] = [source, index]
                case Constant(value=value, ready=ready):
                    values[name] = value
                    if ready:
                        texts.discard(name)
                case Nothing.INPUT_GONE:
                    values.pop(name, None)
        for name in texts:
            if isinstance(text := values.get(name), str):
                values[name] = resolve_choices(text, self._random)
        inputs = {name: _sent(specs.get(name), value) for name, value in values.items()} | wires
        title = self._interfaces.title_of(node)
        self.graph[id] = {"class_type": node.type, "inputs": inputs, "_meta": {"title": title}}
        self._titles.setdefault(title, inputs)
        self._names.setdefault(str((node.properties or {}).get(SEARCH_NAME)), inputs)

    def fill_file_names(self, now: datetime) -> None:
        """Fill the places in the names of result files, once the values of all nodes are known."""
        for node in self.graph.values():
            inputs = node["inputs"]
            assert isinstance(inputs, dict)
            value = inputs.get(FILE_NAME_INPUT)
            if isinstance(value, str) and "%" in value:
                inputs[FILE_NAME_INPUT] = fill_places(value, now, self._widget_text)

    def _widget_text(self, node: str, widget: str) -> str | None:
        inputs = self._names.get(node) or self._titles.get(node) or {}
        value = inputs.get(widget)
        if value is None or is_link(value) or isinstance(value, (dict, list)):
            return None
        if isinstance(value, bool):
            return str(value).lower()
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _sent(spec: InputSpec | None, value: Json) -> Json:
    """A value as prompts have it: a list is wrapped, else it would be a link."""
    if spec is not None and spec.type == "CURVE":
        return {"__type__": "CURVE", "__value__": value}
    return {"__value__": value} if isinstance(value, list) else value
