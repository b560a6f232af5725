"""Nodes that decide what else runs: lazy inputs, expansions, lists and blockers."""

from __future__ import annotations

from typing import Annotated, Literal

from comfykernel_sdk.graph import Expansion, Graph
from comfykernel_sdk.json_types import Json, JsonObject
from comfykernel_sdk.nodes import Blocker, node
from comfykernel_sdk.sockets import Choice, Int, Out, Socket, Text, Toggle, UniqueId

from .texts import CATEGORY, LinkedText, String, Value

LazyText = Annotated[str, Socket("STRING", force_input=True, lazy=True)]
INNER_INPUTS: dict[str, JsonObject] = {"fail": {"message": "inner failure"}, "sleep": {"seconds": 0.2}, "output": {}}


@node("ContractLazy", category=CATEGORY, display_name="ContractLazy", description="")
class Lazy:
    """Needs only one of its two inputs."""

    def check_lazy(self, choose_a: bool, a: str | None, b: str | None) -> list[str]:
        """Ask for the chosen one."""
        return ["a" if choose_a else "b"]

    def run(self, choose_a: Annotated[bool, Toggle(default=True)], a: LazyText, b: LazyText) -> String:
        """Give the chosen one."""
        return a if choose_a else b


@node("ContractExpand", category=CATEGORY, display_name="ContractExpand", description="")
def expand(
    value: Value,
    count: Annotated[int, Int(default=2, min=1, max=20)],
    inner: Annotated[Literal["echo", "fail", "sleep", "output"], Choice("echo", "fail", "sleep", "output", bare=True)],
    node_id: UniqueId,
) -> String | Expansion:
    """Run a row of echo nodes instead, and one of another class at its end."""
    graph: Graph = {}
    link: Json = value
    for index in range(count):
        graph[f"{node_id}.x{index}"] = {"class_type": "ContractEcho", "inputs": {"value": link}}
        link = [f"{node_id}.x{index}", 0]
    if inner != "echo":
        inputs: JsonObject = {"value": link, **INNER_INPUTS[inner]}
        graph[f"{node_id}.last"] = {"class_type": f"Contract{inner.capitalize()}", "inputs": inputs}
        link = [f"{node_id}.last", 0]
    return Expansion(graph, (link,))


@node("ContractList", category=CATEGORY, display_name="ContractList", description="")
def make_list(
    value: Value, count: Annotated[int, Int(default=3, min=0, max=100)]
) -> Annotated[list[str], Out(is_list=True)]:
    """A list of numbered values."""
    return [f"{value}{index}" for index in range(count)]


@node("ContractCollect", category=CATEGORY, display_name="ContractCollect", description="", input_is_list=True)
def collect(values: list[LinkedText], joiner: list[Annotated[str, Text(default=",")]]) -> String:
    """Join all values by the first joiner."""
    return joiner[0].join(values)


@node("ContractBlock", category=CATEGORY, display_name="ContractBlock", description="")
def block(value: Value, block: Annotated[bool, Toggle(default=True)], message: Value) -> String | Blocker:
    """Give a blocker instead of the value."""
    return Blocker(message or None) if block else value
