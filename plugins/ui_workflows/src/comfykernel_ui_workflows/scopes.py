"""Subgraphs laid out: one scope for the root and for each instance that runs, nested as they are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .problems import Problem, refusal, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .document import Drawn, Link, Part

MOST_NODES: Final = 100_000
"""Nodes of one workflow, those of each instance counted: definitions that hold each other twice double every level."""

DEEPEST: Final = 100
"""Subgraphs inside each other."""


class Scope:
    """A drawing at one place: ids of its nodes begin with ``prefix``; ``node`` is the instance inside ``parent``.

    ``ends``: output number of the instance -> the link that ends there; ``slots``: its input slots by name;
    ``inner``: node id -> scope of the instance.
    """

    __slots__ = ("depth", "ends", "inner", "node", "parent", "part", "prefix", "slots")

    def __init__(
        self, part: Part, ends: Mapping[int, Link], *, parent: Scope | None = None, node: Drawn | None = None
    ) -> None:
        self.part, self.ends = part, ends
        self.parent, self.node = parent, node
        self.prefix: str = "" if parent is None or node is None else f"{parent.prefix}{node.key}:"
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.slots = {slot.input_name: slot for slot in (node.inputs or () if node else ())}
        self.inner: dict[str, Scope] = {}

    def full_id(self, node: Drawn) -> str:
        """The id of a node in the prompt: its path, joined by colons."""
        return self.prefix + node.key

    def around(self) -> Iterator[Scope]:
        """This scope and those around it, innermost first."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent


def lay_out(root: Part, definitions: Mapping[str, Part]) -> list[Scope]:
    """All scopes in the order of the file, each before those inside it.

    Instances that are muted or bypassed have none.

    Raises:
        InvalidPrompt: ``subgraph_cycle``, ``subgraph_too_deep`` or ``workflow_too_large``.
    """
    ends = {id: part.ends() for id, part in definitions.items()}
    scopes: list[Scope] = []
    waiting = [Scope(root, {})]
    nodes = 0
    while waiting:
        scope = waiting.pop()
        scopes.append(scope)
        nodes += 1 + len(scope.part.nodes)
        if nodes > MOST_NODES:
            raise _too_large()
        for node in scope.part.nodes.values():
            if node.takes_part and (part := definitions.get(node.type)) is not None:
                inner = scope.inner[node.key] = Scope(part, ends[node.type], parent=scope, node=node)
                _check_nesting(inner, scope, node)
        waiting += reversed(scope.inner.values())
    return scopes


def _check_nesting(inner: Scope, scope: Scope, node: Drawn) -> None:
    around = list(scope.around())
    circle = next((place for place, each in enumerate(around) if each.part is inner.part), None)
    if circle is not None:
        names = [each.part.name or each.part.id for each in around[circle::-1]]
        text = " > ".join(shortened(name) for name in [*names, names[0]])
        raise _refused(scope, node, "subgraph_cycle", f"A subgraph contains itself: {text}.", "Take it out of itself.")
    if inner.depth > DEEPEST:
        text = f"More than {DEEPEST} subgraphs lie inside each other."
        raise _refused(scope, node, "subgraph_too_deep", text, "Unpack some of them in the editor.")


def _refused(scope: Scope, node: Drawn, type: str, text: str, hint: str) -> Exception:
    id, name = shortened(scope.full_id(node)), shortened(node.type)
    return refusal([Problem(type=type, message=text, hint=hint, node_id=id, class_type=name)])


def _too_large() -> Exception:
    text = f"With its subgraphs the workflow has more than {MOST_NODES} nodes."
    hint = "Look for subgraphs that hold others several times, level after level."
    return refusal([Problem(type="workflow_too_large", message=text, hint=hint)])
