"""From a class with ``INPUT_TYPES`` to a node of comfykernel."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, cast

from comfykernel_sdk.nodes import InputSpec, NodeDefinition, NodeSpec

from .calls import call_node
from .interface import claims_every_key, input_specs, output_specs, read_input_types, shown_interface

if TYPE_CHECKING:
    from comfykernel_sdk.json_types import Json, JsonObject


def class_definition(
    cls: type,
    node_id: str,
    *,
    display_name: str | None = None,
    python_module: str = "",
    known_types: Collection[str] = (),
) -> NodeDefinition:
    """The node behind a class. ``known_types`` are the type names of all nodes, for types that compare themselves.

    Raises:
        NodeDefinitionError: the class declares what can't be read.
    """
    function = getattr(cls, str(getattr(cls, "FUNCTION", "")), None)
    spec = class_spec(cls, node_id, display_name=display_name, python_module=python_module, known_types=known_types)
    validate = getattr(cls, "VALIDATE_INPUTS", None)
    return NodeDefinition(
        spec=spec,
        run=partial(call_node, cls, tuple(o.type for o in spec.outputs)),
        create=cls,
        is_async=inspect.iscoroutinefunction(function),
        check_lazy=_on_instance("check_lazy_status", getattr(cls, "check_lazy_status", None)),
        fingerprint=_without_instance(getattr(cls, "IS_CHANGED", None)),
        validate=_without_instance(validate),
        changes_inputs=True,
    )


def class_spec(
    cls: type, node_id: str, *, display_name: str | None, python_module: str, known_types: Collection[str]
) -> NodeSpec:
    """The spec as the class declares it now; raises as :func:`class_definition`, and what ``INPUT_TYPES`` raises."""
    declared = read_input_types(cls)
    validates, checks_types = _validator_parameters(getattr(cls, "VALIDATE_INPUTS", None))
    about = shown_interface(cls, declared)
    spec = NodeSpec(
        id=node_id,
        display_name=display_name,
        category=str(about["category"]),
        description=str(about["description"]),
        inputs=list(input_specs(declared, known_types)),
        outputs=output_specs(cls, known_types),
        output_node=bool(about["output_node"]),
        input_is_list=bool(getattr(cls, "INPUT_IS_LIST", False)),
        deprecated=cast("bool | None", about.get("deprecated")),
        experimental=cast("bool | None", about.get("experimental")),
        python_module=python_module,
        has_fingerprint=hasattr(cls, "IS_CHANGED"),
        has_lazy_check=hasattr(cls, "check_lazy_status"),
        validates=validates,
        checks_types=checks_types,
        accepts_any_input=True,
        accepts_any_constant=claims_every_key(declared),
    )
    regular = _regular_interface(spec)
    spec.extra = {name: value for name, value in about.items() if regular.get(name) != value}
    return spec


def _regular_interface(spec: NodeSpec) -> JsonObject:
    """What clients would see of the spec without extra members."""
    groups: dict[str, JsonObject] = {"required": {}}
    for declared in spec.inputs:
        groups.setdefault(declared.group, {})[declared.name] = _regular_input(declared)
    return {
        "input": {**groups},
        "input_order": {name: [*group] for name, group in groups.items()},
        "output": [output.type for output in spec.outputs],
        "output_is_list": [output.is_list for output in spec.outputs],
        "output_name": [output.name for output in spec.outputs],
        "category": spec.category,
        "description": spec.description,
        "output_node": spec.output_node,
        "deprecated": spec.deprecated,
        "experimental": spec.experimental,
    }


def _regular_input(declared: InputSpec) -> Json:
    if declared.group == "hidden":
        return declared.type
    kind: Json = declared.type if declared.choices is None or not declared.as_list else declared.choices
    options = declared.options
    if declared.choices is not None and not declared.as_list:
        options = {**(options or {}), "options": declared.choices}
    return [kind] if options is None else [kind, options]


def _validator_parameters(validate: Callable[..., object] | None) -> tuple[list[str] | None, bool]:
    """Names of the inputs that a validator takes (``*``: any), and whether it wants the types of links."""
    if not callable(validate):
        return None, False
    parameters = inspect.signature(validate).parameters.values()
    names = [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    wants_types = "input_types" in names
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        names.append("*")
    return [name for name in names if name != "input_types"], wants_types


def _without_instance(function: Callable[..., object] | None) -> Callable[..., object] | None:
    """A function of the class, called with the instance first and without using it."""
    if not callable(function):
        return None

    def call(_: object, /, **inputs: object) -> object:
        return function(**inputs)

    # The engine asks inspect.signature which inputs the function takes.
    call.__wrapped__ = function  # type: ignore[attr-defined]
    return call


def _on_instance(name: str, function: Callable[..., object] | None) -> Callable[..., object] | None:
    """A method that is looked up at the instance."""
    if not callable(function):
        return None

    def call(instance: object, /, **inputs: object) -> object:
        method: Callable[..., object] = getattr(instance, name)
        return method(**inputs)

    call.__wrapped__ = function  # type: ignore[attr-defined]
    return call


def type_names(classes: Mapping[str, type]) -> set[str]:
    """Every type name that inputs and outputs of these classes have, as plain texts; classes that fail add nothing."""
    names: set[str] = set()
    for cls in classes.values():
        names.update(str.__str__(kind) for kind in getattr(cls, "RETURN_TYPES", ()) if isinstance(kind, str))
    return names
