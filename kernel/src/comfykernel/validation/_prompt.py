"""Check a whole prompt: its classes, outputs, nodes, links, cycles and the nodes' own validators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from comfykernel_sdk.dynamic import active_inputs
from comfykernel_sdk.errors import InvalidPrompt
from comfykernel_sdk.graph import Graph, links_of
from comfykernel_sdk.json_types import Json, JsonObject
from comfykernel_sdk.scheduler import ValidationAnswer, ValidationQuestion

from ._node import BrokenLink, Checked, Choices, check_node
from ._replace import replace_nodes
from ._values import input_config, node_error

if TYPE_CHECKING:
    from comfykernel_sdk.nodes import InputSpec, NodeSpec, Replacement

Ask: TypeAlias = Callable[[list[ValidationQuestion]], Awaitable[list[ValidationAnswer]]]
"""Asks the nodes' own validators, in a worker."""


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
    _check_classes(graph, specs)
    wanted = [
        id
        for id, node in graph.items()
        if specs[str(node["class_type"])].output_node and (targets is None or id in targets)
    ]
    if not wanted:
        raise InvalidPrompt(
            "Prompt has no outputs", type="prompt_no_outputs", hint="Add a node that shows or saves something."
        )
    check = PromptCheck(graph, specs, choices)
    await check.run(wanted, ask)
    good = [id for id in wanted if not check.bad_below(id)]
    node_errors = check.node_errors([id for id in wanted if id not in good])
    if not good:
        details = dict.fromkeys(
            f"{e['message']}: {e['details']}" for id in wanted for e in check.reasons(id, is_output=True)
        )
        raise InvalidPrompt(
            "Prompt outputs failed validation",
            type="prompt_outputs_failed_validation",
            details="\n".join(details),
            node_errors=node_errors,
        )
    return Validated(check.converted(), good, node_errors)


def _check_classes(graph: Graph, specs: dict[str, NodeSpec]) -> None:
    for id, node in graph.items():
        if not isinstance(node, dict):
            raise InvalidPrompt("A node must be an object with class_type and inputs.", details=f"Node ID '#{id}'")
        if "class_type" not in node:
            raise InvalidPrompt(
                "Cannot execute because a node is missing the class_type property.", details=f"Node ID '#{id}'"
            )
        if not isinstance(node["class_type"], str) or node["class_type"] not in specs:
            raise InvalidPrompt(
                f"Cannot execute because node {node['class_type']} does not exist.", details=f"Node ID '#{id}'"
            )
        if not isinstance(node.get("inputs", {}), dict):
            raise InvalidPrompt("The inputs of a node must be an object.", details=f"Node ID '#{id}'")


class PromptCheck:
    """The state of one check: every node that some wanted output needs is checked once."""

    def __init__(self, graph: Graph, specs: dict[str, NodeSpec], choices: Choices) -> None:
        self.graph = graph
        self.specs = specs
        self.choices = choices
        self.checked: dict[str, Checked] = {}
        self.errors: dict[str, list[JsonObject]] = {}
        self.raised: dict[str, JsonObject] = {}
        self.consumer: dict[str, tuple[str, str]] = {}
        self._below: dict[str, list[str]] = {}
        self._bad: dict[str, bool] = {}

    async def run(self, wanted: list[str], ask: Ask) -> None:
        """Check everything below the wanted outputs, validators included."""
        for id in self._collect(wanted):
            try:
                self.checked[id] = check_node(self.graph, self.specs, id, self.choices, self.checked)
                self.errors[id] = self.checked[id].errors
            except BrokenLink as error:
                self.raised[id] = {"exception_message": str(error), "exception_type": "KeyError", "traceback": []}
        questions = [q for id in self.checked if (q := self._question(id)) is not None]
        if questions:
            for answer in await ask(questions):
                self._take_answer(answer)

    def _collect(self, wanted: list[str]) -> list[str]:
        """All nodes below the wanted outputs, sources first; a node on a cycle gets an error."""
        order: list[str] = []
        state: dict[str, int] = {}
        for root in wanted:
            stack = [(root, iter(self._sources(root)))] if root not in state else []
            state.setdefault(root, 1)
            while stack:
                id, sources = stack[-1]
                for name, source in sources:
                    if state.get(source) == 1:
                        self._report_cycle([entry[0] for entry in stack], source, name)
                    elif source not in state:
                        state[source] = 1
                        self.consumer[source] = (id, name)
                        stack.append((source, iter(self._sources(source))))
                        break
                else:
                    state[id] = 2
                    order.append(id)
                    stack.pop()
        return order

    def _sources(self, id: str) -> list[tuple[str, str]]:
        declared = {i.name for i in self._active(id)}
        found = [(n, s) for n, s, _ in links_of(self.graph[id]) if s in self.graph and n in declared]
        self._below[id] = [s for _, s in found]
        return found

    def _active(self, id: str) -> list[InputSpec]:
        """The inputs that a node has with the values it got."""
        given = self.graph[id].get("inputs")
        return active_inputs(
            self.specs[str(self.graph[id]["class_type"])].inputs, given if isinstance(given, dict) else {}
        )

    def _report_cycle(self, path: list[str], back_to: str, name: str) -> None:
        circle = [*path[path.index(back_to) :], back_to]
        extra: JsonObject = {"input_name": name, "nodes": list(circle)}
        for id in dict.fromkeys(circle):
            error = node_error("dependency_cycle", "Nodes depend on each other in a circle", " -> ".join(circle), extra)
            self.raised.setdefault(id, {"cycle": error})

    def _question(self, id: str) -> ValidationQuestion | None:
        spec = self.specs[str(self.graph[id]["class_type"])]
        if spec.validates is None or id in self.raised:
            return None
        checked = self.checked[id]
        seen = {name: checked.inputs[name] for name in self._seen_by_validator(id)}
        constants: JsonObject = {name: None if isinstance(value, list) else value for name, value in seen.items()}
        return ValidationQuestion(
            node_id=id,
            class_type=spec.id,
            constants=constants,
            input_types=checked.linked_types if spec.checks_types else {},
        )

    def _seen_by_validator(self, id: str) -> list[str]:
        """Names of the given inputs that a node's own validator takes, in their order."""
        taken = self.specs[str(self.graph[id]["class_type"])].validates or []
        active = {i.name for i in self._active(id) if i.group != "hidden"}
        given = self.checked[id].inputs
        return [n for n in given if n in active and ("*" in taken or n in taken or n.partition(".")[0] in taken)]

    def _take_answer(self, answer: ValidationAnswer) -> None:
        id = answer.node_id
        if answer.error is not None:
            self.raised[id] = answer.error
            return
        if answer.result is True:
            return
        spec = self.specs[str(self.graph[id]["class_type"])]
        # Of a choice or a growing group the validator sees the whole, so it is the whole that is wrong.
        names = dict.fromkeys(n if spec.input(n) else n.partition(".")[0] for n in self._seen_by_validator(id))
        for name in [*names, *(["input_types"] if spec.checks_types else [])]:
            details = name if answer.result is False else f"{name} - {answer.result}"
            self.errors[id].append(
                node_error(
                    "custom_validation_failed", "Custom validation failed for node", details, {"input_name": name}
                )
            )

    def bad_below(self, root: str) -> bool:
        """Whether a node or anything that it needs has errors."""
        stack = [root]
        while stack:
            id = stack[-1]
            if id in self._bad:
                stack.pop()
            elif self.errors.get(id) or id in self.raised:
                self._bad[id] = True
            elif waiting := [s for s in self._below.get(id, []) if s not in self._bad]:
                stack.extend(waiting)
            else:
                self._bad[id] = any(self._bad[s] for s in self._below.get(id, []))
        return self._bad[root]

    def reasons(self, id: str, *, is_output: bool) -> list[JsonObject]:
        """The errors of a node itself, in the peer's form."""
        problem = self.raised.get(id)
        if problem is None:
            return self.errors.get(id, [])
        cycle = problem.get("cycle")
        if isinstance(cycle, dict):
            return [cycle]
        message = str(problem.get("exception_message", ""))
        extra: JsonObject = {"exception_type": problem.get("exception_type"), "traceback": problem.get("traceback", [])}
        if is_output:
            return [node_error("exception_during_validation", "Exception when validating node", message, extra)]
        consumer, name = self.consumer[id]
        declared = next((i for i in self._active(consumer) if i.name == name), None)
        extra = {
            "input_name": name,
            "input_config": input_config(declared, self.choices(declared)) if declared else None,
            "exception_message": message,
            **extra,
            "linked_node": self.graph[consumer]["inputs"][name],  # type: ignore[index,call-overload]
        }
        return [node_error("exception_during_inner_validation", "Exception when validating inner node", message, extra)]

    def node_errors(self, bad_outputs: list[str]) -> dict[str, Json]:
        """Errors by node, each with the outputs that depend on it."""
        found: dict[str, Json] = {}
        dependents: dict[str, list[Json]] = {}
        for root in bad_outputs:
            seen, stack = {root}, [root]
            while stack:
                id = stack.pop()
                reasons = self.reasons(id, is_output=id in bad_outputs)
                if reasons:
                    dependents.setdefault(id, []).append(root)
                    found.setdefault(
                        id,
                        {
                            "errors": list(reasons),
                            "dependent_outputs": dependents[id],
                            "class_type": self.graph[id]["class_type"],
                        },
                    )
                new = [s for s in self._below.get(id, []) if s not in seen]
                seen.update(new)
                stack.extend(new)
        return found

    def converted(self) -> Graph:
        """The graph with converted constants; nodes that were not checked stay as they were sent."""
        return {
            id: {**node, "inputs": self.checked[id].inputs} if id in self.checked else node
            for id, node in self.graph.items()
        }
