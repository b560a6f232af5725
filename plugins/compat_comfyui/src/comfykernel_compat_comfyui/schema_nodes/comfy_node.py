"""The class that nodes written with ``comfy_api`` derive from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

from .dynamic_types import grouped
from .node_output import NodeOutput
from .schema import HiddenHolder, Schema

R = TypeVar("R")


class _OfSchema(Generic[R]):
    """An attribute of old-style classes that is read from the schema."""

    def __init__(self, read: Callable[[Schema], R]) -> None:
        self._read = read

    def __get__(self, instance: object, owner: type[ComfyNode]) -> R:
        try:
            return self._read(owner.GET_SCHEMA())
        except Exception as error:
            raise AttributeError(f"The schema of {owner.__qualname__} can't be read: {error}") from error


class ComfyNode:
    """A node: :meth:`define_schema` says what it is, :meth:`execute` does it; there are no instances.

    ``hidden`` holds what the engine tells while a method runs. Packs that look at nodes of others find the attributes
    of old-style classes, too.
    """

    SCHEMA: ClassVar[Schema | None] = None
    RELATIVE_PYTHON_MODULE: ClassVar[str | None] = None
    FUNCTION: ClassVar[str] = "EXECUTE_NORMALIZED"
    hidden: ClassVar[HiddenHolder] = HiddenHolder()

    RETURN_TYPES = _OfSchema(lambda schema: tuple(output.get_io_type() for output in schema.outputs))
    RETURN_NAMES = _OfSchema(lambda schema: tuple(output_name(output) for output in schema.outputs))
    OUTPUT_IS_LIST = _OfSchema(lambda schema: tuple(output.is_output_list for output in schema.outputs))
    OUTPUT_TOOLTIPS = _OfSchema(lambda schema: tuple(output.tooltip for output in schema.outputs))
    CATEGORY = _OfSchema(lambda schema: schema.category)
    DESCRIPTION = _OfSchema(lambda schema: schema.description)
    OUTPUT_NODE = _OfSchema(lambda schema: schema.is_output_node)
    INPUT_IS_LIST = _OfSchema(lambda schema: schema.is_input_list)
    DEPRECATED = _OfSchema(lambda schema: schema.is_deprecated)
    EXPERIMENTAL = _OfSchema(lambda schema: schema.is_experimental)
    API_NODE = _OfSchema(lambda schema: schema.is_api_node)
    NOT_IDEMPOTENT = _OfSchema(lambda schema: schema.not_idempotent)

    @classmethod
    def define_schema(cls) -> Schema:
        """What the node is."""
        raise NotImplementedError(f"{cls.__qualname__} has no define_schema.")

    @classmethod
    def execute(cls, **kwargs: Any) -> Any:
        """Do what the node does; may be a coroutine."""
        raise NotImplementedError(f"{cls.__qualname__} has no execute.")

    @classmethod
    def GET_SCHEMA(cls) -> Schema:
        """The schema, made at the first call.

        Raises:
            ValueError: it makes no sense.
        """
        if cls.__dict__.get("SCHEMA") is None:
            schema = cls.define_schema()
            schema.finalize()
            schema.validate()
            cls.SCHEMA = schema
        assert cls.SCHEMA is not None
        return cls.SCHEMA

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, object]]:
        """The inputs in the form of old-style classes."""
        schema = cls.GET_SCHEMA()
        groups = {name: dict(group) for name, group in grouped(schema.inputs).items()}
        if schema.hidden:
            groups["hidden"] = {hidden.name: (hidden.value,) for hidden in schema.hidden}
        return groups

    @classmethod
    def EXECUTE_NORMALIZED(cls, *args: Any, **kwargs: Any) -> Any:
        """:meth:`execute`, for packs that call nodes of others by ``FUNCTION``."""
        result = cls.execute(*args, **kwargs)
        return result if isinstance(result, NodeOutput) or hasattr(result, "__await__") else as_node_output(result)


def output_name(output: Any) -> str:
    """The name of an output as clients see it."""
    return str(output.display_name or output.get_io_type())


def as_node_output(result: object) -> NodeOutput:
    """A return value in one of the forms that old-style classes know."""
    if isinstance(result, NodeOutput):
        return result
    if isinstance(result, dict):
        return NodeOutput.from_dict(result)
    if isinstance(result, tuple):
        return NodeOutput(*result)
    return NodeOutput() if result is None else NodeOutput(result)
