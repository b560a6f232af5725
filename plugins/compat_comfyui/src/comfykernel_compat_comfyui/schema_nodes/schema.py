"""What a node written with ``comfy_api`` declares of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from .dynamic_types import Autogrow, DynamicCombo
from .io_types import Input, Output


class Hidden(StrEnum):
    """What the engine tells a node besides its inputs; the value is the kind."""

    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"
    dynprompt = "DYNPROMPT"
    auth_token_comfy_org = "AUTH_TOKEN_COMFY_ORG"
    api_key_comfy_org = "API_KEY_COMFY_ORG"


class HiddenHolder:
    """What the engine told, as attributes: ``cls.hidden.unique_id``; what was not asked for is ``None``."""

    def __init__(self, **values: object) -> None:
        for hidden in Hidden:
            setattr(self, hidden.name, values.get(hidden.name))

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)

    @classmethod
    def from_dict(cls, values: Mapping[object, object] | None) -> HiddenHolder:
        """From a mapping by member or by name."""
        named = {key.name if isinstance(key, Hidden) else str(key): value for key, value in (values or {}).items()}
        return cls(**named)


@dataclass
class PriceBadge:
    """What running the node costs, for nodes of paid services; shown to clients as it is."""

    expr: str = ""
    depends_on: object = None
    engine: str = "jsonata"

    def as_dict(self) -> dict[str, object]:
        """The badge as clients see it."""
        shown = self.depends_on.as_dict() if hasattr(self.depends_on, "as_dict") else self.depends_on
        return {"engine": self.engine, "depends_on": shown, "expr": self.expr}


@dataclass
class PriceBadgeDepends:
    """The inputs that a price depends on."""

    widgets: list[str] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    input_groups: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """The inputs as clients see them."""
        return dict(vars(self))


@dataclass
class Schema:
    """A node: its id, how it is shown, its inputs and outputs, and how the engine treats it."""

    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list[Input] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    hidden: list[Hidden] = field(default_factory=list)
    description: str = ""
    is_input_list: bool = False
    is_output_node: bool = False
    is_deprecated: bool = False
    is_experimental: bool = False
    is_api_node: bool = False
    not_idempotent: bool = False
    enable_expand: bool = False
    accept_all_inputs: bool = False
    search_aliases: list[str] = field(default_factory=list)
    essentials_category: str | None = None
    is_dev_only: bool = False
    has_intermediate_output: bool = False
    price_badge: PriceBadge | None = None

    def __post_init__(self) -> None:
        self.inputs, self.outputs = list(self.inputs or ()), list(self.outputs or ())
        self.hidden, self.search_aliases = list(self.hidden or ()), list(self.search_aliases or ())

    def finalize(self) -> None:
        """Fill in what follows from the rest: what the engine tells output nodes and nodes of services."""
        wanted = [Hidden.prompt, Hidden.extra_pnginfo] if self.is_output_node else []
        if self.is_api_node:
            wanted += [Hidden.auth_token_comfy_org, Hidden.api_key_comfy_org, Hidden.unique_id]
        self.hidden = list(dict.fromkeys([*self.hidden, *wanted]))
        for index, output in enumerate(self.outputs):
            if output.id is None:
                output.id = f"_{index}_{output.get_io_type()}_"

    def validate(self) -> None:
        """Check the declaration.

        Raises:
            ValueError: two inputs or two outputs have one id, or an input has none.
        """
        for inputs in _levels(self.inputs):
            _check_ids("inputs", [declared.id for declared in inputs])
            for declared in inputs:
                declared.validate()
        _check_ids("outputs", [output.id for output in self.outputs if output.id is not None])


def _levels(inputs: list[Input]) -> Iterator[list[Input]]:
    """The inputs, then those that choices bring, each list apart."""
    yield inputs
    for declared in inputs:
        if isinstance(declared, DynamicCombo.Input):
            for option in declared.options:
                yield from _levels(option.inputs)
        elif isinstance(declared, Autogrow.Input):
            yield [declared.template.input]


def _check_ids(kind: str, ids: list[str]) -> None:
    twice = {id for id in ids if ids.count(id) > 1}
    if twice or not all(ids):
        raise ValueError(f"The ids of {kind} must be texts of which none comes twice; twice: {sorted(twice)}.")


@dataclass
class NodeReplace:
    """A node that stands in for one whose id is gone, in the form of ``ComfyAPI.node_replacement.register``."""

    new_node_id: str
    old_node_id: str
    old_widget_ids: list[str] | None = None
    input_mapping: list[Mapping[str, object]] | None = None
    output_mapping: list[Mapping[str, int]] | None = None

    def as_dict(self) -> dict[str, object]:
        """The replacement as clients see it."""
        return dict(vars(self))
