"""Check a whole prompt: its classes, outputs, nodes, links, cycles and the nodes' own validators."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias, final

import msgspec

from comfykernel_sdk.errors import InvalidPrompt
from comfykernel_sdk.graph import Graph
from comfykernel_sdk.json_types import Json, JsonObject
from comfykernel_sdk.scheduler import ValidationAnswer, ValidationQuestion

from ._node import NO_INPUTS, BrokenLink, Choices, ClassFacts, InputCheck, NodeCheck
from ._replace import replace_nodes
from ._values import input_config, node_error

if TYPE_CHECKING:
    from comfykernel_sdk.nodes import NodeSpec, Replacement

Ask: TypeAlias = Callable[[list[ValidationQuestion]], Awaitable[list[ValidationAnswer]]]
"""Asks the nodes' own validators, in a worker."""


AT_ONCE: Final = 250
"""Nodes after which others get their turn, about every 2 ms: a prompt of ten thousand takes a while."""
LONGEST_CIRCLE: Final = 20
"""Nodes of a circle that its error names."""


class Validated(msgspec.Struct):
    """A prompt that can run: the graph with converted values, its good outputs, errors of the dropped ones."""

    graph: Graph
    outputs: list[str]
    node_errors: dict[str, Json]


async def validate_prompt(
    graph: Graph,
    specs: dict[str, NodeSpec],
    choices: Choices,
    ask: Ask,
    *,
    targets: list[str] | None = None,
    replacements: Mapping[str, Replacement] | None = None,
) -> Validated:
    """Check a prompt.

    Args:
        graph: as the client sent it; not changed.
        specs: class_type -> spec of all known nodes.
        choices: gives the allowed values of an input.
        ask: asks the nodes' own validators.
        targets: run only these output nodes; ``None``: all.
        replacements: class_type that is gone -> the node that stands in for it.

    Raises:
        InvalidPrompt: nothing of it can run.
    """
    graph = replace_nodes(graph, replacements or {})
    wanted = _outputs(graph, specs)
    if targets is not None:
        wanted = list(filter(set(targets).__contains__, wanted))
    if not wanted:
        raise InvalidPrompt(
            "Prompt has no outputs", type="prompt_no_outputs", hint="Add a node that shows or saves something."
        )
    check = PromptCheck(graph, specs, choices)
    await asyncio.sleep(0)
    await check.run(wanted, ask)
    await asyncio.sleep(0)
    nodes = check.nodes
    bad = {id: nodes[id] for id in wanted if nodes[id].is_bad}
    node_errors = check.node_errors([*bad.values()])
    if len(bad) == len(wanted):
        reasons = [e for node in bad.values() for e in check.reasons(node, is_output=True)]
        details = dict.fromkeys(f"{e['message']}: {e['details']}" for e in reasons)
        raise InvalidPrompt(
            "Prompt outputs failed validation",
            type="prompt_outputs_failed_validation",
            details="\n".join(details),
            node_errors=node_errors,
        )
    return Validated(check.converted(), [id for id in wanted if id not in bad], node_errors)


def _outputs(graph: Graph, specs: dict[str, NodeSpec]) -> list[str]:
    """Ids of the output nodes.

    Raises:
        InvalidPrompt: a node is none, or its class is not known.
    """
    found = []
    for id, node in graph.items():
        class_type = node.get("class_type") if isinstance(node, dict) else None
        spec = specs.get(class_type) if isinstance(class_type, str) else None
        if spec is None or not isinstance(node.get("inputs", NO_INPUTS), dict):
            raise InvalidPrompt(_what_is_wrong(node, known=spec is not None), details=f"Node ID '#{id}'")
        if spec.output_node:
            found.append(id)
    return found


def _what_is_wrong(node: Json, *, known: bool) -> str:
    if not isinstance(node, dict):
        return "A node must be an object with class_type and inputs."
    if "class_type" not in node:
        return "Cannot execute because a node is missing the class_type property."
    if not known:
        return f"Cannot execute because node {node['class_type']} does not exist."
    return "The inputs of a node must be an object."


@final
class PromptCheck:
    """The state of one check: every node that some wanted output needs is checked once."""

    def __init__(self, graph: Graph, specs: Mapping[str, NodeSpec], choices: Choices) -> None:
        self.nodes: dict[str, NodeCheck] = {}
        self._graph = graph
        self._specs = specs
        self._choices = choices
        self._order: list[NodeCheck] = []

    async def run(self, wanted: list[str], ask: Ask) -> None:
        """Check everything below the wanted outputs, validators included."""
        order = self._order
        await self._collect(wanted)
        inputs = InputCheck(self._graph, self._specs, self._choices, self.nodes)
        for number, node in enumerate(order, start=1):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            try:
                inputs.check(node)
            except BrokenLink as error:
                problem: JsonObject = {"exception_message": str(error), "exception_type": "KeyError", "traceback": []}
                node.problem = node.problem or problem
        questions = [_question(node) for node in order if node.spec.validates is not None and node.problem is None]
        if questions:
            for answer in await ask(questions):
                _take_answer(self.nodes[answer.node_id], answer)
        for node in order:
            node.is_bad = bool(node.errors or node.problem)
            for _, source in node.sources:
                node.is_bad = node.is_bad or self.nodes[source].is_bad

    async def _collect(self, wanted: list[str]) -> None:
        """Find all nodes below the wanted outputs, sources first; nodes on a cycle have that as their problem."""
        open_ids: set[str] = set()
        for root in wanted:
            stack = [] if root in self.nodes else [self._opened(root, None)]
            while stack:
                node = stack[-1]
                open_ids.add(node.id)
                for name, source in node.waiting:
                    if source in open_ids:
                        self._report_cycle(stack, source, name)
                    elif source not in self.nodes:
                        stack.append(self._opened(source, (node, name)))
                        if len(self.nodes) % AT_ONCE == 0:
                            await asyncio.sleep(0)
                        break
                else:
                    open_ids.remove(node.id)
                    self._order.append(stack.pop())

    def _opened(self, id: str, consumer: tuple[NodeCheck, str] | None) -> NodeCheck:
        class_type = str(self._graph[id]["class_type"])
        facts = ClassFacts.of(class_type, self._specs[class_type])
        node = self.nodes[id] = NodeCheck(id, self._graph, facts, consumer)
        return node

    def _report_cycle(self, path: list[NodeCheck], back_to: str, name: str) -> None:
        """Note it at all nodes from ``back_to`` to the end of the path; of a long circle only its end is shown."""
        circle: list[NodeCheck] = []
        for node in reversed(path):
            # What lies beyond was noted with an earlier circle, of which there may be as many as nodes.
            if node.problem is not None and len(circle) > LONGEST_CIRCLE:
                break
            circle.append(node)
            if node.id == back_to:
                break
        ids = [node.id for node in circle[:LONGEST_CIRCLE]]
        if ids[-1] != back_to:
            ids += ["...", back_to]
        ids = [*reversed(ids), back_to]
        extra: JsonObject = {"input_name": name, "nodes": [*ids]}
        error = node_error("dependency_cycle", "Nodes depend on each other in a circle", " -> ".join(ids), extra)
        for node in [*circle, self.nodes[back_to]]:
            node.problem = node.problem or {"cycle": error}

    def reasons(self, node: NodeCheck, *, is_output: bool) -> Sequence[JsonObject]:
        """The errors of a node itself, in the peer's form."""
        problem = node.problem
        if problem is None:
            return node.errors
        if isinstance(cycle := problem.get("cycle"), dict):
            return [cycle]
        message = str(problem.get("exception_message", ""))
        extra: JsonObject = {"exception_type": problem.get("exception_type"), "traceback": problem.get("traceback", [])}
        if node.consumer is None or is_output:
            return [node_error("exception_during_validation", "Exception when validating node", message, extra)]
        consumer, name = node.consumer
        declared = next((i for i in consumer.active if i.name == name), None)
        extra = {
            "input_name": name,
            "input_config": input_config(declared, self._choices(declared)) if declared else None,
            "exception_message": message,
            **extra,
            "linked_node": consumer.inputs[name],
        }
        return [node_error("exception_during_inner_validation", "Exception when validating inner node", message, extra)]

    def node_errors(self, bad_outputs: Sequence[NodeCheck]) -> dict[str, Json]:
        """Errors by node, each with the outputs that depend on it."""
        needed_by = self._needed_by(bad_outputs)
        outputs, found = frozenset(bad_outputs), dict[str, Json]()
        for id, bits in needed_by.items():
            if reasons := self.reasons(node := self.nodes[id], is_output=node in outputs):
                found[id] = {
                    "errors": [*reasons],
                    "dependent_outputs": [output.id for bit, output in enumerate(bad_outputs) if bits >> bit & 1],
                    "class_type": self._graph[id]["class_type"],
                }
        return found

    def _needed_by(self, outputs: Sequence[NodeCheck]) -> dict[str, int]:
        """For each node the outputs that need it, one bit each: where many share much, single walks take long."""
        needed_by = {node.id: 1 << bit for bit, node in enumerate(outputs)}
        changed = bool(outputs)
        while changed:  # once, and once more in vain; circles take longer
            changed = False
            for node in reversed(self._order):
                bits = needed_by.get(node.id, 0)
                for _, source in node.sources:
                    known = needed_by.get(source, 0)
                    if bits & ~known:
                        needed_by[source] = known | bits
                        changed = True
        return needed_by

    def converted(self) -> Graph:
        """The graph with converted constants; other nodes stay as they were sent."""
        graph = dict(self._graph)
        for node in self._order:
            if node.inputs is not node.node.get("inputs"):
                graph[node.id] = {**node.node, "inputs": node.inputs}
        return graph


def _question(node: NodeCheck) -> ValidationQuestion:
    constants: JsonObject = {
        name: None if isinstance(value := node.inputs[name], list) else value for name in _seen_by_validator(node)
    }
    types = dict(node.linked_types) if node.spec.checks_types else {}
    return ValidationQuestion(node_id=node.id, class_type=node.spec.id, constants=constants, input_types=types)


def _seen_by_validator(node: NodeCheck) -> list[str]:
    """Names of the given inputs that a node's own validator takes, in their order."""
    taken = node.spec.validates or []
    active = {i.name for i in node.active}
    return [n for n in node.inputs if n in active and ("*" in taken or n in taken or n.partition(".")[0] in taken)]


def _take_answer(node: NodeCheck, answer: ValidationAnswer) -> None:
    if answer.error is not None:
        node.problem = answer.error
    elif answer.result is not True:
        # Of a choice or a growing group the validator sees the whole, so it is the whole that is wrong.
        spec = node.spec
        names = dict.fromkeys(n if spec.input(n) else n.partition(".")[0] for n in _seen_by_validator(node))
        for name in [*names, *(["input_types"] if spec.checks_types else [])]:
            details = name if answer.result is False else f"{name} - {answer.result}"
            extra: JsonObject = {"input_name": name}
            node.add_error(node_error("custom_validation_failed", "Custom validation failed for node", details, extra))
