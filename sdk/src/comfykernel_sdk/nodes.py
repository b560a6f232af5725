"""Nodes: typed functions or classes, the plain data that describes them, and packs of them.

A node is a function whose signature says everything::

    @node("ImageInvert", category="image", display_name="Invert Image")
    def image_invert(image: Image) -> Image:
        \"\"\"Turn every colour into its complement.\"\"\"
        return 1.0 - image

A parameter without a Python default is a required input, one with a default an optional one. A parameter of type
:class:`~comfykernel_sdk.context.NodeContext` is no input: the engine hands the context of the run. Several outputs
are a tuple; a node that shows something returns :class:`Result`; one that expands returns
:class:`~comfykernel_sdk.graph.Expansion`. A coroutine function overlaps with other nodes.

The class form is for nodes with state or extra methods: ``run`` is the function; ``check_lazy`` names the lazy inputs
that are needed now (those not known yet arrive as ``None``); ``fingerprint`` gives a value that changes when the
node must run again (NaN: always); ``validate`` checks constants before the prompt is accepted and returns ``True`` or
a text that says what is wrong. The instance lives as long as the node stays in the worker's cache.

Inputs may depend on each other. A union of ``TypedDict`` classes, each with a ``Literal`` under the parameter's name,
is a choice that brings its own inputs; ``Annotated[dict[str, Image], Growing("image")]`` or ``list[Image]`` a group
of inputs that grows; a ``TypeVar`` stands for inputs and outputs that have one type::

    T = TypeVar("T")

    class ToSize(TypedDict):
        how: Literal["to size"]
        width: Annotated[int, Int(default=512, min=1)]

    class ByFactor(TypedDict):
        how: Literal["by factor"]
        factor: float

    @node("Resize")
    def resize(image: T, how: ToSize | ByFactor) -> T:
        return scaled(image, how["factor"]) if how["how"] == "by factor" else ...
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar, overload

import msgspec

from .graph import Expansion as Expansion
from .json_types import Json, JsonObject

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])
C = TypeVar("C", bound=type)

InputGroup: TypeAlias = Literal["required", "optional", "hidden"]


class Slots(msgspec.Struct, kw_only=True):
    """The inputs of a growing group: all names, what each is like, how many of the first must be there.

    ``prefix`` is set when the names are counted; ``as_list``: the function gets a list, else a mapping by name.
    """

    input: InputSpec
    names: list[str]
    prefix: str | None = None
    min: int = 1
    as_list: bool = False


class InputSpec(msgspec.Struct, kw_only=True):
    """One input of a node.

    ``type`` is the wire type (for ``hidden`` the kind of value); ``choices`` the allowed values of a list;
    ``source`` names a list that the storage resolves (``kinds`` narrows files of the input folder, ``choices`` are
    then appended to it); ``as_list`` writes the choices where the type stands; ``options`` are shown to clients as
    they are, ``None`` leaves them out (for ``hidden``: shows the type without a list around it).

    ``branches`` of a choice: value -> the inputs that it brings; ``slots`` of a growing group: its inputs. ``match``
    names the type template that this input shares with others (``type`` is then what it may stand for), ``""`` says
    that ``*`` is a wildcard here; without it types are compared as texts.
    """

    name: str
    type: str
    group: InputGroup = "required"
    choices: list[Json] | None = None
    source: str | None = None
    kinds: list[str] = []
    as_list: bool = True
    options: JsonObject | None = None
    lazy: bool = False
    raw_link: bool = False
    branches: dict[str, list[InputSpec]] | None = None
    slots: Slots | None = None
    match: str | None = None

    def has_default(self) -> bool:
        """Whether the options name a default value."""
        return bool(self.options) and "default" in (self.options or {})


class OutputSpec(msgspec.Struct, kw_only=True):
    """One output of a node; ``match`` as in :class:`InputSpec`."""

    type: str
    name: str
    is_list: bool = False
    tooltip: str | None = None
    match: str | None = None


class NodeSpec(msgspec.Struct, kw_only=True):
    """Everything about a node except its code: plain data that crosses processes and is kept on disk.

    ``accepts_any_input``: links to inputs that are not declared are handed over too; ``accepts_any_constant``:
    constants as well. ``validates`` lists the parameter names of the node's own validator (``["*"]`` when it takes
    any), ``None`` without one; ``checks_types`` says that the validator replaces the check of linked types.
    """

    id: str
    display_name: str | None = None
    category: str = ""
    description: str = ""
    inputs: list[InputSpec] = []
    outputs: list[OutputSpec] = []
    output_node: bool = False
    input_is_list: bool = False
    deprecated: bool | None = None
    experimental: bool | None = None
    api_node: bool | None = None
    python_module: str = ""
    distribution: str = ""
    version: str = ""
    volatile: bool = False
    has_fingerprint: bool = False
    has_lazy_check: bool = False
    validates: list[str] | None = None
    checks_types: bool = False
    accepts_any_input: bool = False
    accepts_any_constant: bool = False
    search_aliases: list[str] = []
    extra: JsonObject = {}

    def input(self, name: str) -> InputSpec | None:
        """The input of this name, or ``None``."""
        return next((i for i in self.inputs if i.name == name), None)


class Replacement(msgspec.Struct, frozen=True, kw_only=True):
    """A node that stands in for one whose id is gone, so that old prompts and workflows go on working.

    ``inputs``: new name -> old name, dotted where they depend on others (``None``: all names are as they were);
    ``values``: new name -> fixed value; ``outputs``: old index -> new index (``None``: as they were); ``widgets``:
    names of the old node's widgets in their order, for workflows that store values by position.
    """

    old: str
    new: str
    inputs: dict[str, str] | None = None
    values: JsonObject = {}
    outputs: dict[int, int] | None = None
    widgets: list[str] | None = None


class Result(Generic[T]):
    """Outputs together with something to show: ``Result(image, ui={"text": ["done"]})``.

    As a return annotation, ``Result[Image]`` or ``Result[tuple[Image, Mask]]`` declares the outputs,
    ``Result[None]`` a node without any.
    """

    __slots__ = ("ui", "values")

    def __init__(self, *values: object, ui: Mapping[str, object] | None = None) -> None:
        self.values = values
        self.ui = ui
        """JSON data by key, usually lists; numbers of array libraries and tuples are made plain."""


class Blocker:
    """Given out instead of a value: nodes that would use it do not run. A message makes them fail with it."""

    __slots__ = ("message",)

    def __init__(self, message: str | None = None) -> None:
        self.message = message


class NodeDefinition(msgspec.Struct, kw_only=True):
    """A node that can run: its spec and its code.

    ``create`` makes the instance that is kept while the node stays cached (``None`` for functions); ``run`` is called
    as ``run(instance, **inputs)`` and gives values, a :class:`Result`, an :class:`Expansion` or a coroutine of them.
    ``context_parameter`` names the parameter that gets the :class:`~comfykernel_sdk.context.NodeContext`. The
    optional callables are called in the same way with the instance first. A node that ``changes_inputs`` is handed
    copies of arrays that others hold too; with ``checks_outputs`` values that are not of their output's type fail it.
    """

    spec: NodeSpec
    run: Callable[..., object]
    create: Callable[[], object] | None = None
    is_async: bool = False
    context_parameter: str | None = None
    check_lazy: Callable[..., object] | None = None
    fingerprint: Callable[..., object] | None = None
    validate: Callable[..., object] | None = None
    changes_inputs: bool = False
    checks_outputs: bool = False


class NodePack:
    """A set of nodes under one name, usually a distribution; what a plugin registers.

    ``directory`` is the absolute path of the pack's own folder, in which the official web page finds ``locales``,
    ``example_workflows`` and ``subgraphs``; ``web_directory`` that of its scripts, by default ``web`` in there.
    ``about`` is plain data that a plugin's part in the worker tells its part in the server: members of the catalog's
    account of the pack, such as ``distribution``, ``version`` or ``error`` (a traceback: why the pack has no nodes) in
    place of the plugin's own. A pack that ``yields`` leaves names that two packs claim to the other one.
    ``replacements`` name ids that the pack's nodes had before; a node that still has such an id is not replaced.
    """

    def __init__(
        self,
        name: str,
        nodes: Iterable[object] = (),
        *,
        directory: str | None = None,
        web_directory: str | None = None,
        about: JsonObject | None = None,
        yields: bool = False,
        replacements: Iterable[Replacement] = (),
    ) -> None:
        self.name = name
        self.directory = directory
        usual = os.path.join(directory, "web") if directory else ""
        self.web_directory = web_directory or (usual if os.path.isdir(usual) else None)
        self.about = about or {}
        self.yields = yields
        self.replacements = list(replacements)
        self.nodes: dict[str, NodeDefinition] = {}
        for item in nodes:
            self.add(item)

    def add(self, item: object) -> NodeDefinition:
        """Add a definition, or a function or class decorated with :func:`node`.

        Raises:
            NodeDefinitionError: ``item`` is no node, or its id is taken in this pack.
        """
        from .errors import NodeDefinitionError

        definition = item if isinstance(item, NodeDefinition) else definition_of(item)
        if definition.spec.id in self.nodes:
            raise NodeDefinitionError(f"Pack {self.name} has two nodes with the id {definition.spec.id!r}.")
        self.nodes[definition.spec.id] = definition
        return definition

    def add_module(self, module: object) -> None:
        """Add every decorated function and class that the module itself defines, in the order of definition."""
        for value in list(vars(module).values()):
            if hasattr(value, "__comfykernel_node__") and value.__module__ == getattr(module, "__name__", None):
                self.add(value)


def definition_of(item: object) -> NodeDefinition:
    """The definition behind a decorated function or class.

    Raises:
        NodeDefinitionError: ``item`` was not decorated with :func:`node`.
    """
    from .errors import NodeDefinitionError

    found = getattr(item, "__comfykernel_node__", None)
    if not isinstance(found, NodeDefinition):
        raise NodeDefinitionError(f"{item!r} is no node.", hint="Decorate it with @node(...).")
    return found


class NodeDecorator(Protocol):
    """What :func:`node` gives: leaves the function or class as it is and attaches the definition."""

    @overload
    def __call__(self, target: C) -> C: ...

    @overload
    def __call__(self, target: F) -> F: ...


def node(
    id: str,
    *,
    category: str = "",
    display_name: str | None = None,
    description: str | None = None,
    output_node: bool = False,
    input_is_list: bool = False,
    volatile: bool = False,
    deprecated: bool | None = None,
    experimental: bool | None = None,
    api_node: bool | None = None,
    version: str = "",
    accepts_any_input: bool = False,
    changes_inputs: bool = False,
    fingerprint: Callable[..., object] | None = None,
    validate: Callable[..., object] | None = None,
    search_aliases: tuple[str, ...] = (),
    python_module: str | None = None,
) -> NodeDecorator:
    """Declare a node.

    Args:
        id: the class_type in prompts; unique among all packs.
        category: place in the menus, levels separated by ``/``.
        display_name: title shown to people; ``None``: the id.
        description: shown to people; ``None``: the docstring's first paragraph. What its section ``Args:`` says of
            an input is the input's tooltip, unless the annotation has one.
        output_node: the node is a result by itself, so prompts may end in it.
        input_is_list: the function gets every input as a list (``images: list[Image]``) and is called once.
        volatile: run again at every prompt, though nothing changed.
        version: part of the signature of cached outputs: raise it when results change.
        accepts_any_input: links to inputs that are not declared are handed over too (as ``**kwargs``).
        changes_inputs: the function changes arrays that it gets in place (``image *= 2``), so it is handed copies of
            those that others hold too; a node that changes an array without saying so fails.
        fingerprint, validate: as the methods of the class form, for functions.
        python_module: where clients say that the node comes from; ``None``: ``custom_nodes.`` with the pack's name,
            under which the web page looks for the help pages of a pack.

    Raises:
        NodeDefinitionError: the signature has a parameter without annotation, an unknown type or wrong options.
    """
    from ._signature import define

    def decorate(target: object) -> object:
        given: dict[str, object] = {
            "id": id, "category": category, "display_name": display_name, "description": description,
            "output_node": output_node, "input_is_list": input_is_list, "volatile": volatile,
            "deprecated": deprecated, "experimental": experimental, "api_node": api_node, "version": version,
            "accepts_any_input": accepts_any_input, "search_aliases": list(search_aliases),
            "python_module": python_module or "",
        }  # fmt: skip
        definition = define(target, given, fingerprint=fingerprint, validate=validate)
        definition.changes_inputs = changes_inputs
        target.__comfykernel_node__ = definition  # type: ignore[attr-defined]
        return target

    return decorate  # type: ignore[return-value]
