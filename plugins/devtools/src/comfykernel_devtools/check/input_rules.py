"""Rules about inputs: types, defaults, ranges, choices."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

import msgspec

from comfykernel_sdk import sockets
from comfykernel_sdk.dynamic import all_inputs

from .node_rules import at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from comfykernel_sdk.json_types import Json
    from comfykernel_sdk.nodes import InputSpec

    from .findings import Finding
    from .inspected import Inspected, Inspection

VALUES: Final[dict[str, tuple[type, ...]]] = {
    "INT": (int,),
    "FLOAT": (int, float),
    "STRING": (str,),
    "BOOLEAN": (bool,),
}
"""Wire types with a field, and what a default of theirs may be."""
SOURCES: Final = (
    "input", "checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision",
    "style_models", "embeddings", "diffusers", "vae_approx", "controlnet", "gligen", "upscale_models", "hypernetworks",
    "photomaker", "classifiers", "model_patches", "audio_encoders",
)  # fmt: skip
"""Lists that every storage can give."""


def check_inputs(found: Inspection, *, with_others: bool) -> Iterator[Finding]:
    """All rules about inputs, and those about the types of outputs."""
    for node in found.nodes:
        for declared in all_inputs(node.spec.inputs):
            if declared.group != "hidden":
                yield from _default(node, declared)
                yield from _range(node, declared)
                yield from _choices(node, declared)
                yield from _declaration(node, declared)
    if with_others:
        yield from _types(found)


def _default(node: Inspected, declared: InputSpec) -> Iterator[Finding]:
    default = (declared.options or {}).get("default")
    kinds = VALUES.get(declared.type)
    if default is None or kinds is None or declared.choices is not None:
        return
    if not isinstance(default, kinds) or (isinstance(default, bool) and bool not in kinds):
        text = f"The default {default!r} is no {declared.type}."
        yield at(node, "default-type", "error", text, input=declared.name)
        return
    low, high = _limit(declared, "min"), _limit(declared, "max")
    if isinstance(default, int | float) and (
        (low is not None and default < low) or (high is not None and default > high)
    ):
        text = f"The default {default!r} is not between {low} and {high}."
        yield at(node, "default-range", "error", text, input=declared.name)


def _limit(declared: InputSpec, name: str) -> float | None:
    value = (declared.options or {}).get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _range(node: Inspected, declared: InputSpec) -> Iterator[Finding]:
    low, high, step = (_limit(declared, name) for name in ("min", "max", "step"))
    if low is not None and high is not None and low > high:
        yield at(node, "range", "error", f"min {low} is above max {high}.", input=declared.name)
    if step is not None and step <= 0:
        yield at(node, "range", "error", f"The step {step} is not above 0.", input=declared.name)
    elif step is not None and low is not None and high is not None and 0 < high - low < step:
        text = f"The step {step} is wider than the range from {low} to {high}."
        yield at(node, "range", "warning", text, input=declared.name)


def _choices(node: Inspected, declared: InputSpec) -> Iterator[Finding]:
    if declared.source is not None:
        # A name that nobody knows may be a folder of another plugin; a near miss is none.
        near = difflib.get_close_matches(declared.source, SOURCES, n=1, cutoff=0.8)
        if near and declared.source not in SOURCES:
            text = f"There is no list {declared.source!r}."
            yield at(node, "source", "error", text, input=declared.name, hint=f"Did you mean {near[0]!r}?")
        return
    if declared.choices is None:
        return
    if not declared.choices:
        yield at(node, "choices", "error", "There is nothing to choose from.", input=declared.name)
    twice = sorted({repr(c) for i, c in enumerate(declared.choices) if c in declared.choices[:i]})
    if twice:
        yield at(node, "choices", "warning", f"Listed more than once: {', '.join(twice)}.", input=declared.name)
    default = (declared.options or {}).get("default")
    if declared.choices and default is not None and default not in declared.choices:
        text = f"The default {default!r} is none of the choices."
        yield at(node, "default-choice", "error", text, input=declared.name, hint=_near(str(default), declared.choices))


def _near(word: str, known: Iterable[Json]) -> str:
    near = difflib.get_close_matches(word, [str(each) for each in known], n=1)
    return f"Did you mean {near[0]!r}?" if near else ""


def _declaration(node: Inspected, declared: InputSpec) -> Iterator[Finding]:
    """What Python says of the parameter, against what clients see."""
    seen = node.parameters.get(declared.name)
    if declared.lazy and not node.spec.has_lazy_check:
        hint = "Use the class form and let its method check_lazy name the inputs that are needed."
        yield at(
            node, "lazy", "error", "The input is lazy, but nothing ever asks for it.", input=declared.name, hint=hint
        )
    if seen is None:
        return
    if seen.mismatch:
        hint = "Type checkers and clients must see the same."
        yield at(node, "annotation", "error", seen.mismatch, input=declared.name, hint=hint)
    shown = (declared.options or {}).get("default")
    if seen.default is not msgspec.UNSET and shown is not None and seen.default != shown:
        text = f"Two defaults: clients see {shown!r}, Python has {seen.default!r}."
        yield at(node, "two-defaults", "error", text, input=declared.name)


def _standard_types() -> set[str]:
    markers = [m for value in vars(sockets).values() for m in getattr(value, "__metadata__", ())]
    return {m.type for m in markers if isinstance(m, sockets.Socket)} | {*VALUES, "COMBO", "*"}


def _types(found: Inspection) -> Iterator[Finding]:
    """Types that nothing gives or nothing takes: most often a spelling."""
    standard = _standard_types()
    own_given = {output.type for node in found.nodes for output in node.spec.outputs}
    own_wanted = {part for node in found.nodes for i in all_inputs(node.spec.inputs) for part in _parts(i.type)}
    given = standard | set(found.given) | own_given
    wanted = standard | {part for type in found.wanted for part in _parts(type)} | own_wanted
    for node in found.nodes:
        for declared in all_inputs(node.spec.inputs):
            if declared.group == "hidden" or declared.choices is not None or declared.match is not None:
                continue
            for part in _parts(declared.type):
                if part not in given and part not in VALUES:
                    text = f"No node gives the type {part!r}."
                    hint = _near(part, sorted(given - {"*"}))
                    yield at(node, "unknown-type", "warning", text, input=declared.name, hint=hint)
        for output in node.spec.outputs:
            if output.type not in wanted and "*" not in output.type:
                hint = _near(output.type, sorted(wanted - {"*"}))
                text = f"No node takes the type {output.type!r} of the output {output.name!r}."
                yield at(node, "unknown-type", "warning" if hint else "note", text, hint=hint)


def _parts(type: str) -> list[str]:
    return [part.strip() for part in type.split(",") if part.strip()]
