"""From a class written with ``comfy_api`` to a node of comfykernel."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from comfykernel_sdk.dynamic import all_inputs, nest
from comfykernel_sdk.nodes import Blocker, NodeDefinition

from ..class_nodes.borders import to_pack
from ..class_nodes.calls import interruptible, without_gradients
from ..class_nodes.results import read_return_value
from ..running_nodes import node_runs, stop_if_interrupted
from .comfy_node import ComfyNode, as_node_output
from .schema import Hidden, HiddenHolder
from .specs import node_spec

if TYPE_CHECKING:
    from comfykernel_sdk.nodes import InputSpec

HIDDEN_NAMES = frozenset(hidden.name for hidden in Hidden)


def is_schema_node(value: object) -> bool:
    """Whether something is a node class written with ``comfy_api``."""
    return isinstance(value, type) and issubclass(value, ComfyNode)


def schema_definition(cls: type, *, python_module: str) -> NodeDefinition:
    """The node behind a class; raises whatever its ``define_schema`` raises."""
    assert issubclass(cls, ComfyNode)
    spec = node_spec(cls, python_module=python_module)
    calls = _Calls(cls, spec.inputs, [output.type for output in spec.outputs])
    validate = getattr(cls, "validate_inputs", None)
    fingerprint = getattr(cls, "fingerprint_inputs", None)
    check_lazy = getattr(cls, "check_lazy_status", None)
    spec.validates, spec.checks_types = _validator_parameters(validate)
    spec.has_fingerprint, spec.has_lazy_check = fingerprint is not None, check_lazy is not None
    return NodeDefinition(
        spec=spec,
        run=calls.execute,
        is_async=inspect.iscoroutinefunction(cls.execute),
        check_lazy=calls.method(check_lazy, answer=calls.dotted_names),
        fingerprint=calls.method(fingerprint),
        validate=calls.method(validate),
        changes_inputs=True,
    )


class _Calls:
    """Calls the methods of a class: values cross the border and are nested, ``cls.hidden`` is set."""

    def __init__(self, cls: type[ComfyNode], inputs: list[InputSpec], types: Sequence[str]) -> None:
        self._cls = cls
        self._types = types
        self._inputs = [declared for declared in inputs if declared.group != "hidden"]
        self._hidden = frozenset(declared.name for declared in inputs if declared.group == "hidden")
        self._names = [declared.name for declared in all_inputs(self._inputs)]

    def execute(self, _: object, /, **inputs: object) -> object:
        """Run the node; gives what the engine takes, or a coroutine of it."""
        cls = self._running(inputs)
        arguments = self._arguments(inputs)
        with node_runs() as context, interruptible(), without_gradients():
            stop_if_interrupted(context)
            returned = cls.execute(**arguments)
        return self._awaited(returned) if inspect.isawaitable(returned) else self._read(returned)

    async def _awaited(self, returned: Awaitable[object]) -> object:
        with node_runs(), interruptible():
            result = await returned
        return self._read(result)

    def _read(self, returned: object) -> object:
        output = as_node_output(returned)
        value: dict[str, object] = {"ui": output.shown(), "expand": output.expand}
        if output.block_execution is not None:
            value["result"] = Blocker(output.block_execution)
        elif output.args:
            # The values themselves, or one tuple of them.
            only = output.args[0]
            alone = len(output.args) == 1 != len(self._types)
            value["result"] = only if alone and isinstance(only, tuple) else output.args
        return read_return_value(value, self._types, self._cls.__qualname__)

    def method(
        self, method: Callable[..., object] | None, *, answer: Callable[[Any], object] = lambda value: value
    ) -> Callable[..., object] | None:
        """Another class method as the engine calls it, with the instance (there is none) first."""
        if method is None:
            return None
        name = method.__name__
        parameters = inspect.signature(method).parameters.values()
        takes = None if any(p.kind is p.VAR_KEYWORD for p in parameters) else {p.name for p in parameters}

        def call(_: object, /, **inputs: object) -> object:
            function: Callable[..., object] = getattr(self._running(inputs), name)
            arguments = self._arguments(inputs)
            given = {n: value for n, value in arguments.items() if takes is None or n in takes}
            returned = function(**given)
            return _then(returned, answer) if inspect.isawaitable(returned) else answer(returned)

        # The engine asks inspect.signature which inputs the method takes.
        call.__wrapped__ = method  # type: ignore[attr-defined]
        return call

    def dotted_names(self, wanted: object) -> list[str]:
        """Names of lazy inputs; those inside of groups may be named by themselves."""
        names = [wanted] if isinstance(wanted, str) else list(cast("Sequence[str]", wanted or ()))
        return [full for name in names for full in self._names if full == name or full.rpartition(".")[2] == name]

    def _running(self, inputs: Mapping[str, object]) -> type[ComfyNode]:
        """The class for one call; what the engine told is an attribute of it, so that threads see it, too."""
        hidden = HiddenHolder(**{name: inputs.get(name) for name in self._hidden})
        members = {"hidden": hidden, "SCHEMA": self._cls.SCHEMA, "__module__": self._cls.__module__}
        return type(self._cls.__name__, (self._cls,), members)

    def _arguments(self, inputs: Mapping[str, object]) -> dict[str, object]:
        given = {name: to_pack(value) for name, value in inputs.items() if name not in self._hidden}
        return nest(self._inputs, given)


async def _then(returned: Awaitable[object], answer: Callable[[Any], object]) -> object:
    return answer(await returned)


def _validator_parameters(validate: Callable[..., object] | None) -> tuple[list[str] | None, bool]:
    """Names of the inputs that a validator takes (``*``: any), and whether it wants the types of links."""
    if validate is None:
        return None, False
    parameters = inspect.signature(validate).parameters.values()
    names = [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    wants_types = "input_types" in names
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        names.append("*")
    return [name for name in names if name != "input_types"], wants_types
