"""From a schema to a node's spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from comfykernel_sdk.nodes import InputSpec, NodeSpec, OutputSpec, Slots

from ..class_nodes.shown_values import shown
from .comfy_node import ComfyNode, output_name
from .dynamic_types import Autogrow, DynamicCombo, MatchType, MultiType
from .io_types import Input, Output

if TYPE_CHECKING:
    from comfykernel_sdk.json_types import Json, JsonObject

    from .schema import Schema

ANY = "*"


def node_spec(cls: type[ComfyNode], *, python_module: str) -> NodeSpec:
    """The spec of a node class; raises whatever its schema raises."""
    schema = cls.GET_SCHEMA()
    hidden = [InputSpec(name=h.name, type=h.value, group="hidden", options={}) for h in schema.hidden]
    return NodeSpec(
        id=schema.node_id,
        display_name=schema.display_name,
        category=schema.category,
        description=schema.description,
        inputs=[*map(input_spec, schema.inputs), *hidden],
        outputs=[output_spec(output) for output in schema.outputs],
        output_node=schema.is_output_node,
        input_is_list=schema.is_input_list,
        deprecated=schema.is_deprecated,
        experimental=schema.is_experimental,
        api_node=schema.is_api_node,
        python_module=python_module,
        volatile=schema.not_idempotent,
        accepts_any_input=schema.accept_all_inputs,
        accepts_any_constant=schema.accept_all_inputs,
        search_aliases=[str(alias) for alias in schema.search_aliases],
        extra=_extra(schema),
    )


def _extra(schema: Schema) -> JsonObject:
    """What object_info has of such nodes only."""
    extra: JsonObject = {"output_tooltips": [output.tooltip for output in schema.outputs]}
    if schema.display_name is None:
        extra["display_name"] = None
    flags: JsonObject = {
        "is_input_list": schema.is_input_list,
        "dev_only": schema.is_dev_only,
        "has_intermediate_output": schema.has_intermediate_output,
        "essentials_category": schema.essentials_category,
        "price_badge": shown(schema.price_badge.as_dict()) if schema.price_badge is not None else None,
    }
    return extra | {name: value for name, value in flags.items() if value}


def input_spec(declared: Input) -> InputSpec:
    """One input."""
    options = cast("JsonObject", shown(declared.as_dict()))
    spec = InputSpec(
        name=declared.id,
        type=declared.get_io_type(),
        group="optional" if declared.optional else "required",
        options=options,
        lazy=bool(declared.lazy),
        raw_link=bool(declared.raw_link),
    )
    if isinstance(declared, MatchType.Input):
        options.pop("template", None)
        spec.type, spec.match = ",".join(declared.template.allowed_types), declared.template.template_id
    elif isinstance(declared, Autogrow.Input):
        options.pop("template", None)
        template = declared.template
        spec.slots = Slots(
            input=input_spec(template.input), names=template.names, prefix=template.prefix, min=template.min
        )
    elif isinstance(declared, DynamicCombo.Input):
        options.pop("options", None)
        spec.branches = {option.key: [input_spec(i) for i in option.inputs] for option in declared.options}
        spec.choices = cast("list[Json]", list(spec.branches))
    elif spec.type == "COMBO" and isinstance(choices := options.pop("options", None), list):
        # Shown to clients, any value is let through: such lists are often made while the node is loaded.
        spec.choices, spec.as_list = choices, False
    elif not isinstance(declared, MultiType.Input) and spec.type == ANY:
        spec.match = ""
    return spec


def output_spec(declared: Output) -> OutputSpec:
    """One output."""
    spec = OutputSpec(
        type=declared.get_io_type(),
        name=output_name(declared),
        is_list=bool(declared.is_output_list),
        tooltip=declared.tooltip,
    )
    if isinstance(declared, MatchType.Output):
        spec.type, spec.match = ",".join(declared.template.allowed_types), declared.template.template_id
    elif spec.type == ANY:
        spec.match = ""
    return spec
