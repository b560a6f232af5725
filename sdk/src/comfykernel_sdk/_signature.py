"""From a Python signature to a node's spec: the one place that reads annotations."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec

from .context import NodeContext
from .dynamic import is_dynamic, nesting
from .errors import NodeDefinitionError
from .graph import Expansion
from .json_types import Json, JsonObject
from .nodes import Blocker, InputGroup, InputSpec, NodeDefinition, NodeSpec, OutputSpec, Result, Slots
from .sockets import Choice, File, Float, Growing, Hidden, Int, Out, Socket, Text, Toggle, Widget

PLAIN_TYPES: dict[object, Widget] = {int: Int(), float: Float(), str: Text(), bool: Toggle()}
"""Annotations without a marker that stand for a widget."""

MISSING = inspect.Parameter.empty
MOST_SLOTS = 100
"""Inputs that a growing group may have; the web page draws no more."""


def define(
    target: object,
    given: dict[str, object],
    *,
    fingerprint: Callable[..., object] | None,
    validate: Callable[..., object] | None,
) -> NodeDefinition:
    """Build the definition of a decorated function or class from its signature and docstring."""
    is_class = inspect.isclass(target)
    run = getattr(target, "run", None) if is_class else target
    if not callable(run):
        raise NodeDefinitionError(f"Node {given['id']!r}: the class has no method run.")
    if is_class:
        fingerprint = fingerprint or getattr(target, "fingerprint", None)
        validate = validate or getattr(target, "validate", None)
    check_lazy = getattr(target, "check_lazy", None) if is_class else None
    inputs, context_parameter = _inputs(
        run, str(given["id"]), is_method=is_class, as_lists=bool(given["input_is_list"])
    )
    tooltips = _documented_inputs(target) | (_documented_inputs(run) if is_class else {})
    for declared in inputs:
        if declared.name in tooltips and declared.group != "hidden" and "tooltip" not in (declared.options or {}):
            declared.options = {**(declared.options or {}), "tooltip": tooltips[declared.name]}
    validates, checks_types = _validator_parameters(validate)
    spec = msgspec.convert(
        {
            **given,
            "description": given["description"] if given["description"] is not None else _summary(target),
            "inputs": [msgspec.to_builtins(i) for i in inputs],
            "outputs": [msgspec.to_builtins(o) for o in _outputs(run, str(given["id"]))],
            "has_fingerprint": fingerprint is not None,
            "has_lazy_check": check_lazy is not None,
            "validates": validates,
            "checks_types": checks_types,
        },
        NodeSpec,
    )
    definition = NodeDefinition(
        spec=spec,
        run=run if is_class else _without_instance(run),
        create=target if inspect.isclass(target) else None,
        is_async=inspect.iscoroutinefunction(run),
        context_parameter=context_parameter,
        check_lazy=check_lazy,
        fingerprint=_plain(target, "fingerprint", fingerprint, is_class=is_class),
        validate=_plain(target, "validate", validate, is_class=is_class),
        checks_outputs=True,
    )
    if is_dynamic(inputs):
        for name in ("run", "check_lazy", "fingerprint", "validate"):
            if (function := getattr(definition, name)) is not None:
                setattr(definition, name, nesting(inputs, function))
    return definition


def _without_instance(function: Callable[..., object]) -> Callable[..., object]:
    """The same, called with an instance first; of a coroutine function it gives the coroutine."""

    def run(_: object, /, **inputs: object) -> object:
        return function(**inputs)

    # The engine asks inspect.signature which inputs the function takes.
    run.__wrapped__ = function  # type: ignore[attr-defined]
    return run


def _plain(
    target: object, name: str, function: Callable[..., object] | None, *, is_class: bool
) -> Callable[..., object] | None:
    """A callable that takes the instance first, whether it was a method, a static method or a function."""
    if function is None:
        return None
    raw = inspect.getattr_static(target, name, None) if is_class else None
    is_method = raw is not None and not isinstance(raw, (staticmethod, classmethod))
    return function if is_method else _without_instance(function)


def _validator_parameters(validate: Callable[..., object] | None) -> tuple[list[str] | None, bool]:
    if validate is None:
        return None, False
    parameters = inspect.signature(validate).parameters
    names = [n for n, p in parameters.items() if n != "self" and p.kind is not p.VAR_KEYWORD]
    wants_types = "input_types" in names
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        names.append("*")
    return [n for n in names if n != "input_types"], wants_types


def _summary(target: object) -> str:
    return (inspect.getdoc(target) or "").split("\n\n")[0].replace("\n", " ")


ARGS_SECTION = re.compile(r"^Args:\n((?:[ ]+\S.*\n|\n(?= ))+)", re.MULTILINE)
ARGUMENT = re.compile(r"^ {4}(\w+)(?: \([^)]*\))?: *((?:.*\n)(?: {5,}.*\n|\n)*)", re.MULTILINE)


def _documented_inputs(target: object) -> dict[str, str]:
    """What the section ``Args:`` of a docstring says of each parameter."""
    section = ARGS_SECTION.search((inspect.getdoc(target) or "") + "\n")
    found = ARGUMENT.findall(section[1]) if section else []
    return {name: " ".join(text.split()) for name, text in found}


def _inputs(
    run: Callable[..., object], id: str, *, is_method: bool, as_lists: bool
) -> tuple[list[InputSpec], str | None]:
    hints = _hints(run, id)
    specs, context = [], None
    for position, parameter in enumerate(inspect.signature(run).parameters.values()):
        if (is_method and position == 0) or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if parameter.name not in hints:
            raise NodeDefinitionError(f"Node {id!r}: parameter {parameter.name!r} has no annotation.")
        hint = hints[parameter.name]
        if hint is NodeContext:
            context = parameter.name
            continue
        if as_lists and get_origin(hint) is list:
            hint = get_args(hint)[0]
        specs.append(_input(id, parameter.name, hint, parameter.default))
    return specs, context


def _hints(run: object, id: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(run, localns={"NodeContext": NodeContext}, include_extras=True)
    except NameError as error:
        raise NodeDefinitionError(
            f"Node {id!r}: an annotation can't be resolved: {error}.",
            hint="Import the types of a node's parameters at run time, not under TYPE_CHECKING.",
        ) from error


def _unwrap(hint: object) -> tuple[object, list[object]]:
    """Take ``None`` out of a union and Annotated apart: the Python type and its markers, the outermost first."""
    if get_origin(hint) in (Union, types.UnionType):
        rest = [a for a in get_args(hint) if a is not type(None)]
        if len(rest) == 1:
            return _unwrap(rest[0])
    if get_origin(hint) is Annotated:
        base, *markers = get_args(hint)
        inner, more = _unwrap(base)
        # Nested annotations are one flat tuple to Python, with the outermost last.
        return inner, [*reversed(markers), *more]
    return hint, []


def _input(id: str, name: str, hint: object, default: object) -> InputSpec:
    base, markers = _unwrap(hint)
    group: InputGroup = "required" if default is MISSING else "optional"
    for marker in markers:
        if isinstance(marker, Hidden):
            return InputSpec(name=name, type=marker.kind, group="hidden")
    if isinstance(base, TypeVar):
        return _matched_input(name, base, markers, group)
    if growing := next((m for m in markers if isinstance(m, Growing)), None):
        return _group_input(id, name, base, growing, group)
    if not any(isinstance(m, Socket) for m in markers) and (branches := _typed_dicts(base)):
        return _branching_input(id, name, branches, markers, group)
    for marker in markers:
        if isinstance(marker, Socket):
            return _socket_input(name, marker, group)
        if isinstance(marker, Widget):
            return _widget_input(name, _with_literals(marker, base), group, default)
    plain = _literal_choice(base) or (PLAIN_TYPES.get(base) if isinstance(base, type) else None)
    if plain is None:
        raise NodeDefinitionError(
            f"Node {id!r}: parameter {name!r} has a type that is no socket: {base!r}.",
            hint="Use a type of comfykernel_sdk.sockets or Annotated[..., Socket('MY_TYPE')].",
        )
    return _widget_input(name, plain, group, default)


def _with_literals(widget: Widget, base: object) -> Widget:
    """A choice that lists nothing itself takes the values of the annotated ``Literal``."""
    if isinstance(widget, Choice) and not widget.values and not widget.source and get_origin(base) is typing.Literal:
        options = {name: getattr(widget, name) for name in Choice.__slots__ if name != "values"}
        return Choice(*get_args(base), **options)
    return widget


def _literal_choice(base: object) -> Choice | None:
    return Choice(*get_args(base)) if get_origin(base) is typing.Literal else None


def _socket_input(name: str, socket: Socket, group: InputGroup) -> InputSpec:
    options: JsonObject = dict(socket.options)
    for key, value in (("tooltip", socket.tooltip), ("lazy", socket.lazy or None), ("rawLink", socket.raw_link or None),
                       ("forceInput", socket.force_input or None)):  # fmt: skip
        if value is not None:
            options[key] = value
    shown = options if options or not socket.bare else None
    match = "" if socket.wildcard else None
    return InputSpec(
        name=name, type=socket.type, group=group, options=shown, lazy=socket.lazy, raw_link=socket.raw_link, match=match
    )


def _matched_input(name: str, variable: TypeVar, markers: list[object], group: InputGroup) -> InputSpec:
    socket = next((m for m in markers if isinstance(m, Socket)), Socket("*"))
    spec = _socket_input(name, socket, group)
    spec.type, spec.match = _types_of(variable, markers), variable.__name__
    return spec


def _types_of(variable: TypeVar, markers: list[object]) -> str:
    """The wire types that a type variable may stand for: those of its socket, else of its constraints or bound."""
    if socket := next((m for m in markers if isinstance(m, Socket)), None):
        return socket.type
    bound = variable.__bound__
    hints = variable.__constraints__ or (get_args(bound) if get_origin(bound) in (Union, types.UnionType) else (bound,))
    wires = [_wire_type(*_unwrap(hint)) for hint in hints]
    return ",".join(wire or "*" for wire in wires)


def _group_input(id: str, name: str, base: object, growing: Growing, group: InputGroup) -> InputSpec:
    names = list(growing.names) or [f"{growing.prefix}{index}" for index in range(growing.max)]
    if get_origin(base) not in (dict, list) or not 0 <= growing.min <= len(names) or len(names) > MOST_SLOTS:
        raise NodeDefinitionError(
            f"Node {id!r}: the growing group {name!r} makes no sense.",
            hint=f"Annotate dict[str, X] or list[X]; up to {MOST_SLOTS} inputs, of which min must be there.",
        )
    item = get_args(base)[-1]
    # Clients draw slots, no fields, whatever the type is.
    slot = _input(id, growing.prefix.rstrip("_") or name, item, None if type(None) in get_args(item) else MISSING)
    if slot.branches is not None or slot.slots is not None:
        raise NodeDefinitionError(f"Node {id!r}: the items of {name!r} can't bring inputs of their own.")
    if slot.type in {w.wire_type for w in PLAIN_TYPES.values()}:
        slot.options = {**(slot.options or {}), "forceInput": True}
    slots = Slots(
        input=slot, names=names, prefix=None if growing.names else growing.prefix, min=growing.min,
        as_list=get_origin(base) is list,
    )  # fmt: skip
    options: JsonObject = {"tooltip": growing.tooltip} if growing.tooltip else {}
    return InputSpec(name=name, type="COMFY_AUTOGROW_V3", group=group, options=options, slots=slots)


def _typed_dicts(base: object) -> list[object]:
    """The members of a union of TypedDict classes, ``None`` left out; nothing when it is another type."""
    union = get_args(base) if get_origin(base) in (Union, types.UnionType) else (base,)
    members = [member for member in union if member is not type(None)]
    return members if all(typing.is_typeddict(member) for member in members) else []


def _branching_input(id: str, name: str, members: list[object], markers: list[object], group: InputGroup) -> InputSpec:
    branches: dict[str, list[InputSpec]] = {}
    for member in members:
        hints = _hints(member, id)
        choice = hints.pop(name, None)
        if get_origin(choice) is not typing.Literal:
            raise NodeDefinitionError(
                f"Node {id!r}: {member!r} does not say which choice of {name!r} it belongs to.",
                hint=f"Give it a field '{name}: Literal[\"the choice\"]'.",
            )
        fields = [
            _input(id, field, *_field(hint, total=getattr(member, "__total__", True))) for field, hint in hints.items()
        ]
        for key in get_args(choice):
            if branches.setdefault(str(key), fields) is not fields:
                raise NodeDefinitionError(f"Node {id!r}: {name!r} has the choice {key!r} twice.")
    tooltip = next((m.tooltip for m in markers if isinstance(m, Choice)), None)
    options: JsonObject = {"tooltip": tooltip} if tooltip else {}
    choices: list[Json] = list(branches)
    return InputSpec(
        name=name, type="COMFY_DYNAMICCOMBO_V3", group=group, options=options, choices=choices, branches=branches
    )


def _field(hint: object, *, total: bool) -> tuple[object, object]:
    """A field of a TypedDict as annotation and default of a parameter: what need not be there has one."""
    origin = get_origin(hint)
    if origin in (typing.Required, typing.NotRequired):
        return get_args(hint)[0], MISSING if origin is typing.Required else None
    return hint, MISSING if total else None


OPTION_NAMES = {
    "dynamic_prompts": "dynamicPrompts",
    "force_input": "forceInput",
}
"""Fields of widgets whose name in object_info differs."""

WIDGET_OPTIONS = (
    "default", "min", "max", "step", "round", "display", "multiline", "dynamic_prompts", "label_on",
    "label_off", "control_after_generate", "force_input", "lazy", "tooltip",
)  # fmt: skip


def _widget_input(name: str, widget: Widget, group: InputGroup, default: object) -> InputSpec:
    options: JsonObject = {}
    for field in WIDGET_OPTIONS:
        value = getattr(widget, field, None)
        if value is not None and (value is not False or field in ("default", "multiline", "dynamic_prompts")):
            options[OPTION_NAMES.get(field, field)] = value
    if "default" not in options and default is not MISSING and default is not None:
        options["default"] = typing.cast(Json, default)
    options.update(getattr(widget, "options", {}))
    spec = InputSpec(
        name=name, type=widget.wire_type, group=group, options=options, lazy=getattr(widget, "lazy", False)
    )
    if isinstance(widget, Choice):
        spec.choices = list(widget.values) or list(widget.extra)
        spec.source, spec.kinds, spec.as_list = widget.source, list(widget.kinds), widget.as_list
        if widget.bare and not options:
            spec.options = None
    elif isinstance(widget, File):
        spec.choices, spec.source, spec.kinds, spec.as_list = [], "input", list(widget.kinds), True
        options[widget.upload] = True
    _check_range(name, spec)
    return spec


def _check_range(name: str, spec: InputSpec) -> None:
    options = spec.options or {}
    low, high, default = options.get("min"), options.get("max"), options.get("default")
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and low > high:
        raise NodeDefinitionError(f"Input {name!r}: min {low} is above max {high}.")
    number = default if isinstance(default, (int, float)) else None
    below = number is not None and isinstance(low, (int, float)) and number < low
    above = number is not None and isinstance(high, (int, float)) and number > high
    if below or above:
        raise NodeDefinitionError(f"Input {name!r}: the default {default} is out of range {low} to {high}.")
    fixed = spec.choices and not spec.source
    if fixed and default is not None and default not in (spec.choices or []):
        raise NodeDefinitionError(f"Input {name!r}: the default {default!r} is none of its choices.")


def _outputs(run: Callable[..., object], id: str) -> list[OutputSpec]:
    hint = _hints(run, id).get("return", MISSING)
    if hint is MISSING:
        raise NodeDefinitionError(f"Node {id!r}: the return type is not annotated.", hint="'-> None' for no outputs.")
    return [_output(id, part) for part in _output_hints(hint)]


def _output_hints(hint: object) -> list[object]:
    """The annotation of every output: a tuple's items, what Result holds, the members of a union that are values."""
    origin = get_origin(hint)
    if hint is None or hint is type(None):
        return []
    if origin in (Union, types.UnionType):
        rest = [a for a in get_args(hint) if a not in (Expansion, Blocker, type(None))]
        plain = [a for a in rest if get_origin(a) is not Result] or rest
        return _output_hints(plain[0]) if plain else []
    if origin is Result:
        return _output_hints(get_args(hint)[0])
    if hint is Result:
        return []
    if origin is tuple:
        return [part for part in get_args(hint) if part is not Ellipsis]
    return [hint]


def _output(id: str, hint: object) -> OutputSpec:
    base, markers = _unwrap(hint)
    out = next((m for m in markers if isinstance(m, Out)), Out())
    is_list = out.is_list
    if get_origin(base) is list and not any(isinstance(m, (Socket, Widget)) for m in markers):
        base, inner = _unwrap(get_args(base)[0])
        markers, is_list = [*markers, *inner], True
    match = base.__name__ if isinstance(base, TypeVar) else None
    if any(isinstance(m, Socket) and m.wildcard for m in markers):
        match = ""
    wire = out.type or (_types_of(base, markers) if isinstance(base, TypeVar) else _wire_type(base, markers))
    if wire is None:
        raise NodeDefinitionError(f"Node {id!r}: an output has a type that is no socket: {base!r}.")
    return OutputSpec(type=wire, name=out.name or match or wire, is_list=is_list, tooltip=out.tooltip, match=match)


def _wire_type(base: object, markers: list[object]) -> str | None:
    marker = next((m for m in markers if isinstance(m, (Socket, Widget))), None) or PLAIN_TYPES.get(base)
    return marker.type if isinstance(marker, Socket) else marker.wire_type if marker else None
