"""Check one node of a prompt: presence of inputs, links, constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final, final

from comfykernel_sdk.dynamic import active_inputs, is_dynamic
from comfykernel_sdk.graph import is_link, unwrapped
from comfykernel_sdk.json_types import Json, JsonObject

from ._values import (
    CONVERTERS,
    choice_error,
    conversion_error,
    fits,
    input_config,
    node_error,
    range_error,
    refused_value,
    shared_types,
    unknown_slots,
)

if TYPE_CHECKING:
    from comfykernel_sdk.graph import Graph
    from comfykernel_sdk.nodes import InputSpec, NodeSpec, OutputSpec

Choices = Callable[["InputSpec"], "list[Json] | None"]
"""Gives the allowed values of an input, ``None`` when it has no list."""

NO_INPUTS: Final[JsonObject] = {}


class BrokenLink(Exception):
    """Raised when a link points nowhere: no such node, or no such output."""


@final
class ClassFacts:
    """What all nodes of one class share: the inputs, unless they depend on values, without hidden ones; all names."""

    __slots__ = ("inputs", "names", "spec")
    _known: ClassVar[dict[str, ClassFacts]] = {}

    @classmethod
    def of(cls, class_type: str, spec: NodeSpec) -> ClassFacts:
        """The facts of a class; worked out when the class is met for the first time or has changed."""
        known = cls._known.get(class_type)
        if known is None or known.spec is not spec:
            known = cls._known[class_type] = cls(spec)
        return known

    def __init__(self, spec: NodeSpec) -> None:
        self.spec = spec
        dynamic = is_dynamic(spec.inputs)
        self.inputs = None if dynamic else [i for i in spec.inputs if i.group != "hidden"]
        self.names = frozenset(() if dynamic else (i.name for i in spec.inputs))


@final
class NodeCheck:
    """One node under check.

    Attributes:
        active: the inputs that it has with its values, without hidden ones.
        inputs: its values, converted once they are checked; those of the graph itself as long as none had to be.
        sources: its links to nodes of the prompt, as ``(input, node id)``.
        errors: what is wrong with it.
        problem: why it could not be checked: a cycle, or what an exception said.
        linked_types: types of its linked inputs, for validators that want them.
        matched: the types that its links leave for each type template.
        consumer: the node, and its input, over which it was reached.
    """

    __slots__ = (
        "active", "consumer", "errors", "id", "inputs", "is_bad", "linked_types", "matched", "node", "problem",
        "sources", "spec", "waiting",
    )  # fmt: skip

    def __init__(self, id: str, graph: Graph, facts: ClassFacts, consumer: tuple[NodeCheck, str] | None) -> None:
        self.id = id
        self.node = graph[id]
        self.spec = facts.spec
        self.consumer = consumer
        given = self.node.get("inputs")
        self.inputs: JsonObject = given if isinstance(given, dict) else NO_INPUTS
        names = facts.names
        if facts.inputs is not None:
            self.active = facts.inputs
        else:
            active = active_inputs(facts.spec.inputs, self.inputs)
            names = frozenset(i.name for i in active)
            self.active = [i for i in active if i.group != "hidden"]
        self.sources: list[tuple[str, str]] = []
        for name, value in self.inputs.items():
            if type(value) is list and name in names and is_link(value) and value[0] in graph:
                self.sources.append((name, str(value[0])))
        self.waiting = iter(self.sources)
        self.errors: Sequence[JsonObject] = ()
        self.problem: JsonObject | None = None
        self.linked_types: Mapping[str, str] = NO_INPUTS  # type: ignore[assignment]
        self.matched: Mapping[str, str] = NO_INPUTS  # type: ignore[assignment]
        self.is_bad = False

    def add_error(self, error: JsonObject) -> None:
        """Note something that is wrong."""
        self.errors = [*self.errors, error]

    def convert(self, name: str, value: Json) -> None:
        """Put a converted value in the place of the one that was sent."""
        if self.inputs is self.node.get("inputs"):
            self.inputs = dict(self.inputs)
        self.inputs[name] = value


@final
class InputCheck:
    """Checks inputs of nodes whose sources were checked before."""

    def __init__(
        self, graph: Graph, specs: Mapping[str, NodeSpec], choices: Choices, nodes: Mapping[str, NodeCheck]
    ) -> None:
        self._graph = graph
        self._specs = specs
        self._choices = choices
        self._nodes = nodes

    def check(self, node: NodeCheck) -> None:
        """Check all inputs of a node.

        Raises:
            BrokenLink: one is linked to nothing.
        """
        inputs = node.inputs
        for declared in node.active:
            name = declared.name
            if declared.slots is not None:
                for error in unknown_slots(declared, inputs):
                    node.add_error(error)
            elif name not in inputs:
                if declared.group == "required":
                    extra: JsonObject = {"input_name": name}
                    node.add_error(node_error("required_input_missing", "Required input is missing", name, extra))
            elif isinstance(value := inputs[name], list) and declared.branches is None:
                self._check_link(node, declared, value)
            else:
                self._check_constant(node, declared, value)

    def _check_constant(self, node: NodeCheck, declared: InputSpec, given: Json) -> None:
        value = unwrapped(given)
        converter = CONVERTERS.get(declared.type)
        if converter is not None:
            try:
                value = converter(value)
            except (TypeError, ValueError, OverflowError) as error:
                config = input_config(declared, self._choices(declared))
                node.add_error(conversion_error(declared, config, value, error))
                return
        # What would look like a link stays wrapped: the engine unwraps it.
        if value is not given and not is_link(value):
            node.convert(declared.name, value)
        taken = node.spec.validates
        if taken is not None and ("*" in taken or declared.name in taken):
            return
        allowed = self._choices(declared)
        if allowed is not None and declared.as_list:
            problem = choice_error(declared, allowed, value)
        else:
            problem = range_error(declared, value)
        if problem is not None:
            node.add_error(problem)

    def _check_link(self, node: NodeCheck, declared: InputSpec, link: list[Json]) -> None:
        if len(link) != 2:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            extra = refused_value(declared, input_config(declared, self._choices(declared)), link)
            node.add_error(node_error("bad_linked_input", message, declared.name, extra))
            return
        output = self._linked_output(declared.name, link)
        if output.type == declared.type and output.match is None is declared.match and not node.spec.checks_types:
            return
        received, wanted = self._types(node, declared, output, str(link[0]))
        if node.spec.checks_types:
            node.linked_types = {**node.linked_types, declared.name: received}
        flexible = output.match is not None or declared.match is not None
        common = shared_types(received, wanted) if flexible else wanted if fits(received, wanted) else ""
        if declared.match:
            node.matched = {**node.matched, declared.match: common or wanted}
        if common or node.spec.checks_types:
            return
        config = input_config(declared, self._choices(declared))
        shown = wanted if declared.match else config[0]
        details = f"{declared.name}, received_type({received}) mismatch input_type({shown})"
        extra = {"input_name": declared.name, "input_config": config, "received_type": received, "linked_node": link}
        node.add_error(node_error("return_type_mismatch", "Return type mismatch between linked nodes", details, extra))

    def _types(self, node: NodeCheck, declared: InputSpec, output: OutputSpec, source: str) -> tuple[str, str]:
        """What a link brings and what its input takes, with what is known of templates on both sides."""
        received, wanted = output.type, declared.type
        if output.match and (checked := self._nodes.get(source)) is not None:
            received = checked.matched.get(output.match, received)
        return received, node.matched.get(declared.match, wanted) if declared.match else wanted

    def _linked_output(self, name: str, link: list[Json]) -> OutputSpec:
        """The output that a link points to.

        Raises:
            BrokenLink: it points nowhere.
        """
        source, slot = link
        if not isinstance(source, str) or source not in self._graph:
            raise BrokenLink(f"Input {name!r} is linked to node {source!r}, which is not in the prompt.")
        outputs = self._specs[str(self._graph[source]["class_type"])].outputs
        if not isinstance(slot, int) or isinstance(slot, bool) or not -len(outputs) <= slot < len(outputs):
            text = f"Input {name!r} is linked to output {slot!r} of node {source!r}, which has {len(outputs)}."
            raise BrokenLink(text)
        return outputs[slot]
