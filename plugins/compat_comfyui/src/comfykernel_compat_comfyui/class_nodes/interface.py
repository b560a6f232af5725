"""From the attributes of a class to a node's spec; whatever the spec can't say is shown as the class says it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from comfykernel_sdk.errors import NodeDefinitionError
from comfykernel_sdk.nodes import InputSpec, OutputSpec

from .shown_values import shown
from .socket_types import input_type, output_type

if TYPE_CHECKING:
    from comfykernel_sdk.json_types import Json, JsonObject
    from comfykernel_sdk.nodes import InputGroup

GROUPS: Final[tuple[InputGroup, ...]] = ("required", "optional", "hidden")
DEFAULT_CATEGORY: Final = "sd"
"""Category of a class that names none."""
COMBO: Final = "COMBO"
MOST_BEYOND: Final = 32
"""Outputs beyond the listed ones that a class may answer for."""


def read_input_types(cls: type) -> Mapping[str, object]:
    """What ``INPUT_TYPES`` says now.

    Raises:
        NodeDefinitionError: it gives no mapping of groups.
    """
    declared: object = cls.INPUT_TYPES()  # type: ignore[attr-defined]
    if not isinstance(declared, Mapping):
        raise NodeDefinitionError(f"INPUT_TYPES of {cls.__qualname__} gives {type(declared).__name__}, not a dict.")
    return declared


def claims_every_key(declared: Mapping[str, object]) -> bool:
    """Whether the class takes optional inputs of any name: its mapping says that it has a key that it does not have."""
    optional = declared.get("optional")
    name = "an input of no node"
    return isinstance(optional, Mapping) and name in optional and name not in list(optional.keys())


def input_specs(declared: Mapping[str, object], known_types: Collection[str]) -> Iterator[InputSpec]:
    """The inputs of all groups that the server knows.

    Raises:
        NodeDefinitionError: a group is no mapping, or an input has no type.
    """
    for group in GROUPS:
        inputs = declared.get(group) or {}
        if not isinstance(inputs, Mapping):
            raise NodeDefinitionError(f"The inputs {group!r} are a {type(inputs).__name__}, not a dict.")
        for name, declaration in inputs.items():
            yield _input(str(name), group, declaration, known_types)


def _input(name: str, group: InputGroup, declaration: object, known_types: Collection[str]) -> InputSpec:
    if isinstance(declaration, str):
        return InputSpec(name=name, type=str.__str__(declaration), group=group)
    if not isinstance(declaration, Sequence) or not declaration:
        raise NodeDefinitionError(f"Input {name!r} has no type: {declaration!r}.")
    kind = declaration[0]
    given = declaration[1] if len(declaration) > 1 else None
    options = shown(given) if isinstance(given, Mapping) else None
    assert options is None or isinstance(options, dict)
    spec = InputSpec(name=name, type=COMBO, group=group, options=options)
    spec.lazy = bool(options and options.get("lazy"))
    spec.raw_link = bool(options and options.get("rawLink"))
    if not isinstance(kind, str):
        # A list is checked; other collections are only shown.
        spec.choices = list(_listed(kind)) if isinstance(kind, list) else None
        return spec
    wire = input_type(kind, known_types)
    spec.type, spec.match = wire.name, wire.match
    if wire.name == COMBO and options and isinstance(options.get("options"), list):
        spec.choices, spec.as_list = list(_listed(options["options"])), False
        spec.options = {key: value for key, value in options.items() if key != "options"}
    return spec


def _listed(value: object) -> list[Json]:
    listed = shown(value)
    return listed if isinstance(listed, list) else [listed]


def declared_outputs(cls: type) -> tuple[object, ...]:
    """The types of the outputs as the class names them."""
    types = getattr(cls, "RETURN_TYPES", ())
    return (types,) if isinstance(types, str) else tuple(types)


def _outputs_beyond(cls: type) -> Iterator[object]:
    """Types of outputs that the class does not list but answers for: some packs' tuples have a type at any index."""
    types = getattr(cls, "RETURN_TYPES", ())
    if not types or type(types) in (str, tuple, list):
        return
    for index in range(len(types), len(types) + MOST_BEYOND):
        try:
            yield types[index]
        except LookupError:
            return


def output_specs(cls: type, known_types: Collection[str]) -> list[OutputSpec]:
    """The outputs; names and list marks that are missing are filled in.

    Those that the class only answers for come last. They may be linked; clients are not shown them.
    """
    types = (*declared_outputs(cls), *_outputs_beyond(cls))
    names = _padded(getattr(cls, "RETURN_NAMES", None), len(types))
    lists = _padded(getattr(cls, "OUTPUT_IS_LIST", None), len(types))
    specs = []
    for kind, name, is_list in zip(types, names, lists, strict=True):
        spec = OutputSpec(type=COMBO, name=COMBO, is_list=bool(is_list))
        if isinstance(kind, str):
            wire = output_type(kind, known_types)
            spec.type, spec.match, spec.name = wire.name, wire.match, str.__str__(kind)
        spec.name = str(name) if name is not None else spec.name
        specs.append(spec)
    return specs


def _padded(given: object, size: int) -> list[object]:
    items = [given] if isinstance(given, (str, bool)) else list(given) if isinstance(given, Sequence) else []
    return [*items, *[None] * size][:size]


def shown_interface(cls: type, declared: Mapping[str, object]) -> JsonObject:
    """The members of object_info that depend on what the class declares, exactly as it declares them."""
    types = getattr(cls, "RETURN_TYPES", ())
    groups = {str(group): inputs for group, inputs in declared.items()}
    info: JsonObject = {
        "input": shown(groups),
        "input_order": {
            group: shown(list(inputs.keys()) if isinstance(inputs, Mapping) else []) for group, inputs in groups.items()
        },
        "output": shown(types),
        "output_is_list": shown(getattr(cls, "OUTPUT_IS_LIST", [False] * len(declared_outputs(cls)))),
        "output_name": shown(getattr(cls, "RETURN_NAMES", types)),
        "category": shown(getattr(cls, "CATEGORY", DEFAULT_CATEGORY)),
        "description": shown(getattr(cls, "DESCRIPTION", "")),
        "output_node": getattr(cls, "OUTPUT_NODE", False) == True,  # noqa: E712 - a truthy value that is not 1 is no mark
    }
    if hasattr(cls, "OUTPUT_TOOLTIPS"):
        info["output_tooltips"] = shown(cls.OUTPUT_TOOLTIPS)
    if hasattr(cls, "API_NODE"):
        info["api_node"] = shown(cls.API_NODE)
    for flag in ("DEPRECATED", "EXPERIMENTAL"):
        if getattr(cls, flag, False):
            info[flag.lower()] = True
    return info
