"""Nodes of comfykernel as classes, for packs that call or subclass the nodes they know."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from comfykernel_sdk.context import current_context
from comfykernel_sdk.graph import Expansion
from comfykernel_sdk.nodes import Blocker, Result

from .borders import from_pack, to_pack
from .known_functions import FUNCTIONS

if TYPE_CHECKING:
    from comfykernel_sdk.nodes import InputSpec, NodeDefinition, NodeSpec

Choices = Callable[["InputSpec"], "list[Any] | None"]

PLAIN_FUNCTION: Final = "execute"
"""Name of the function of a class that packs don't call by a name they know."""


class WrappedNode:
    """Base of classes that stand for nodes of comfykernel."""

    DEFINITION: ClassVar[NodeDefinition]
    CHOICES: ClassVar[Choices]
    PARAMETERS: ClassVar[tuple[str, ...]]
    FUNCTION: ClassVar[str]

    def __init__(self) -> None:
        create = self.DEFINITION.create
        self._instance = create() if create is not None else None

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Any]]:
        """The inputs by group."""
        groups: dict[str, dict[str, Any]] = {"required": {}}
        for declared in cls.DEFINITION.spec.inputs:
            groups.setdefault(declared.group, {})[declared.name] = _declaration(declared, cls.CHOICES)
        return groups

    def _call(self, *values: object, **named: object) -> Any:
        arguments = {**dict(zip(self.PARAMETERS, values, strict=False)), **named}
        arguments = {**_defaults(self.DEFINITION.spec, arguments), **arguments}
        arguments = {name: from_pack(value) for name, value in arguments.items()}
        if (parameter := self.DEFINITION.context_parameter) is not None:
            arguments[parameter] = current_context()
        returned = self.DEFINITION.run(self._instance, **arguments)
        return (
            _awaited(returned, self.DEFINITION.spec)
            if inspect.isawaitable(returned)
            else _given(returned, self.DEFINITION.spec)
        )


def wrap_node(definition: NodeDefinition, choices: Choices) -> type[WrappedNode]:
    """A class that stands for a node; ``choices`` gives the values of inputs that are lists of files."""
    spec = definition.spec
    function, _, parameters = FUNCTIONS.get(spec.id, PLAIN_FUNCTION).partition("(")
    order = [name.strip() for name in parameters.rstrip(")").split(",") if name.strip()]
    order += [i.name for i in spec.inputs if i.name not in order]
    members: dict[str, Any] = {
        "__doc__": spec.description, "__module__": "nodes", "DEFINITION": definition, "CHOICES": staticmethod(choices),
        "PARAMETERS": tuple(order), "FUNCTION": function, function: WrappedNode._call,
        "RETURN_TYPES": tuple(output.type for output in spec.outputs),
        "RETURN_NAMES": tuple(output.name for output in spec.outputs),
        "OUTPUT_IS_LIST": tuple(output.is_list for output in spec.outputs),
        "OUTPUT_NODE": spec.output_node, "INPUT_IS_LIST": spec.input_is_list, "CATEGORY": spec.category,
        "DESCRIPTION": spec.description, "RELATIVE_PYTHON_MODULE": spec.python_module,
    }  # fmt: skip
    return type(spec.id, (WrappedNode,), members)


def _declaration(declared: InputSpec, choices: Choices) -> Any:
    if declared.group == "hidden":
        return declared.type
    listed = choices(declared)
    options = dict(declared.options or {})
    if listed is None:
        kind: Any = declared.type
    elif declared.as_list:
        kind = listed
    else:
        kind, options = declared.type, {**options, "options": listed}
    return (kind, options) if declared.options is not None or options else (kind,)


def _defaults(spec: NodeSpec, given: Mapping[str, object]) -> dict[str, object]:
    """Defaults of required inputs that a pack leaves out."""
    return {
        declared.name: (declared.options or {})["default"]
        for declared in spec.inputs
        if declared.group == "required" and declared.name not in given and declared.has_default()
    }


async def _awaited(returned: Any, spec: NodeSpec) -> Any:
    return _given(await returned, spec)


def _given(returned: object, spec: NodeSpec) -> Any:
    """What the function of a class returns: a tuple, or a dict when something is shown."""
    if isinstance(returned, Expansion):
        return {"expand": returned.graph, "result": returned.result, "ui": returned.ui or {}}
    ui = returned.ui if isinstance(returned, Result) else None
    values: Any = returned.values if isinstance(returned, Result) else (returned,)
    if len(values) == 1 and len(spec.outputs) != 1:
        only = values[0]
        values = () if not spec.outputs else (only,) * len(spec.outputs) if isinstance(only, Blocker) else only
    result = tuple(to_pack(value) for value in values)
    return result if ui is None else {"ui": ui, "result": result}
