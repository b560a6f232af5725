"""Rules about nodes: their ids, what people read about them, their outputs."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from .findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .inspected import Inspected, Inspection

PLAIN_ID: Final = re.compile(r"[\w.+-]+", re.ASCII)
LONGEST_ID: Final = 100
"""Characters."""


def check_nodes(found: Inspection) -> Iterator[Finding]:
    """All rules about nodes as a whole."""
    titles = Counter(node.spec.display_name or node.spec.id for node in found.nodes)
    ids = Counter(node.spec.id for node in found.nodes)
    for node in found.nodes:
        yield from _id(node)
        if ids[node.spec.id] > 1:
            text = "Two packs of this distribution have a node with this id."
            yield at(node, "id-collision", "error", text, hint="Only one of them can be reached under it.")
        if (owner := found.taken.get(node.spec.id)) is not None:
            hint = "Put a word of your own before it: ids are shared by all packs."
            yield at(node, "id-collision", "error", f"The id is taken by {owner}.", hint=hint)
        title = node.spec.display_name or node.spec.id
        if titles[title] > 1 and not node.spec.deprecated:
            yield at(node, "same-title", "warning", f"Another node of the pack is called {title!r}, too.")
        yield from _words(node)
        yield from _outputs(node)


def at(node: Inspected, rule: str, severity: Severity, message: str, *, input: str = "", hint: str = "") -> Finding:
    """A finding at a node, or at one of its inputs."""
    declared = node.parameters.get(input.partition(".")[0])
    line = declared.line if declared is not None and declared.line else node.line
    return Finding(
        rule=rule, severity=severity, message=message, hint=hint,
        node=node.spec.id, input=input, file=node.file, line=line,
    )  # fmt: skip


def _id(node: Inspected) -> Iterator[Finding]:
    id = node.spec.id
    if not id.strip() or ":" in id or not id.isprintable():
        hint = "A colon stands between pack and id where two packs claim one id."
        yield at(node, "id-form", "error", f"{id!r} can't be an id.", hint=hint)
    elif not PLAIN_ID.fullmatch(id) or len(id) > LONGEST_ID:
        text = f"The id {id!r} is awkward in files, addresses and code."
        hint = "Use letters, digits, '_', '-', '.' and '+'; what people read is display_name."
        yield at(node, "id-form", "warning", text, hint=hint)


def _words(node: Inspected) -> Iterator[Finding]:
    spec = node.spec
    if not spec.description.strip():
        hint = "The first paragraph of its docstring is shown to people."
        yield at(node, "node-docs", "warning", "The node has no description.", hint=hint)
    if not spec.category.strip("/ "):
        hint = 'Give @node(category="image/mine"): menus are sorted by it.'
        yield at(node, "category", "warning", "The node has no category.", hint=hint)
    silent = [
        declared.name for declared in spec.inputs if _can_be_told(declared.group) and not _tooltip(declared.options)
    ]
    if silent:
        hint = 'For example Float(..., tooltip="What it does, in which unit.").'
        yield at(node, "input-docs", "note", f"Inputs without a tooltip: {', '.join(silent)}.", hint=hint)


def _can_be_told(group: str) -> bool:
    return group != "hidden"


def _tooltip(options: object) -> bool:
    return isinstance(options, dict) and bool(options.get("tooltip"))


def _outputs(node: Inspected) -> Iterator[Finding]:
    spec = node.spec
    if not spec.outputs and not spec.output_node:
        text = "The node has no outputs and is no output node: nothing can ever make it run."
        yield at(node, "no-outputs", "warning", text, hint="Give @node(output_node=True), or let it return something.")
    silent = [output.name for output in spec.outputs if not output.tooltip]
    if silent:
        hint = 'For example -> Annotated[Image, Out(tooltip="What comes out.")].'
        yield at(node, "output-docs", "note", f"Outputs without a tooltip: {', '.join(silent)}.", hint=hint)
    for name, count in Counter(output.name for output in spec.outputs).items():
        if count > 1:
            hint = 'Name them: Annotated[Image, Out("left")].'
            yield at(node, "output-names", "warning", f"{count} outputs are called {name!r}.", hint=hint)
