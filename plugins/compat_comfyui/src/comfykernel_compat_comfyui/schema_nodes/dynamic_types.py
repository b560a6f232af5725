"""Types whose inputs depend on others: several types, matched types, growing groups, choices that bring inputs."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .io_types import ComfyType, ComfyTypeI, Options, WidgetInput, comfytype
from .io_types import Input as AnyInput
from .io_types import Output as AnyOutput
from .socket_types import TYPES

MOST_NAMES: Final = 100
"""Inputs that a growing group may have."""

TypeLike = type[ComfyType] | AnyInput | str


def wire_name(kind: object) -> str:
    """The name on the wire of a type, an input or a text."""
    return kind if isinstance(kind, str) else str(getattr(kind, "io_type", "*"))


@comfytype("COMFY_MULTITYPED_V3")
class MultiType(ComfyTypeI):
    """A value of one of several types."""

    class Input(AnyInput):
        """Takes links of every type listed; ``id`` may be an input whose field is drawn when nothing is linked."""

        def __init__(
            self,
            id: str | WidgetInput,
            types: Iterable[TypeLike],
            display_name: str | None = None,
            optional: bool | None = None,
            tooltip: str | None = None,
            lazy: bool | None = None,
            **more: Any,
        ) -> None:
            widget = copy.copy(id) if isinstance(id, AnyInput) else None
            name = widget.id if widget is not None else str(id)
            if widget is not None:
                display_name = display_name if display_name is not None else widget.display_name
                tooltip = tooltip if tooltip is not None else widget.tooltip
                lazy = lazy if lazy is not None else widget.lazy
                optional = optional if optional is not None else widget.optional
                for field_name in ("display_name", "tooltip", "lazy"):
                    setattr(widget, field_name, None)
            super().__init__(name, display_name, bool(optional), tooltip, lazy, **more)
            self.widget = widget
            self.types = [wire_name(kind) for kind in types]

        def get_io_type(self) -> str:
            """All types, the one of the field first."""
            own = [self.widget.get_io_type()] if self.widget is not None else []
            return ",".join(dict.fromkeys([*own, *self.types]))

        def as_dict(self) -> Options:
            """The options that clients see, those of the field among them."""
            if self.widget is None:
                return super().as_dict()
            return {**super().as_dict(), **self.widget.as_dict(), "widgetType": self.widget.get_io_type()}


@comfytype("COMFY_MATCHTYPE_V3")
class MatchType(ComfyTypeI):
    """Values of one type, whichever it is: all that share a template agree."""

    class Template:
        """Names the type; ``allowed_types`` narrows it (default: any)."""

        def __init__(self, template_id: str, allowed_types: TypeLike | Iterable[TypeLike] = TYPES["AnyType"]) -> None:
            self.template_id = template_id
            several = isinstance(allowed_types, Iterable) and not isinstance(allowed_types, (str, type))
            kinds: Iterable[object] = allowed_types if several else (allowed_types,)  # type: ignore[assignment]
            self.allowed_types = [wire_name(kind) for kind in kinds]

        def as_dict(self) -> Options:
            """The template as clients see it."""
            return {"template_id": self.template_id, "allowed_types": ",".join(self.allowed_types)}

    class Input(AnyInput):
        """An input of the type."""

        def __init__(self, id: str, template: MatchType.Template, *args: Any, **more: Any) -> None:
            super().__init__(id, *args, **more)
            self.template = template

        def as_dict(self) -> Options:
            """The options that clients see."""
            return {**super().as_dict(), "template": self.template.as_dict()}

    class Output(AnyOutput):
        """An output of the type; the first argument may be its id or its template."""

        def __init__(self, *args: Any, template: MatchType.Template | None = None, **more: Any) -> None:
            given = [arg for arg in args if isinstance(arg, MatchType.Template)]
            super().__init__(*[arg for arg in args if not isinstance(arg, MatchType.Template)], **more)
            found = template or next(iter(given), None)
            if found is None:
                raise TypeError("MatchType.Output needs a template.")
            self.template = found


@dataclass
class _Template:
    """What the inputs of a growing group are like, and how they are called."""

    input: AnyInput
    names: list[str] = field(default_factory=list)
    prefix: str | None = None
    min: int = 1

    def checked(self) -> _Template:
        """The template; raises ``ValueError`` when it makes no sense."""
        if not 0 < len(self.names) <= MOST_NAMES or not 0 <= self.min <= len(self.names):
            raise ValueError(
                f"A growing group has 1 to {MOST_NAMES} inputs, of which min are required; "
                f"this one has {len(self.names)}, min is {self.min}."
            )
        if isinstance(self.input, (Autogrow.Input, DynamicCombo.Input)):
            raise TypeError("The inputs of a growing group can't bring inputs of their own.")
        if isinstance(self.input, WidgetInput):
            self.input = copy.copy(self.input)
            self.input.force_input = True
        return self

    def as_dict(self) -> Options:
        """The template as clients see it."""
        place = "optional" if self.input.optional else "required"
        group: dict[str, object] = {"required": {}}
        group[place] = {self.input.id: (self.input.get_io_type(), self.input.as_dict())}
        if self.prefix is None:
            return {"input": group, "names": self.names, "min": self.min}
        return {"input": group, "prefix": self.prefix, "min": self.min, "max": len(self.names)}


@comfytype("COMFY_AUTOGROW_V3")
class Autogrow(ComfyTypeI):
    """A mapping of names to values that grows as inputs are linked."""

    Type = dict

    @staticmethod
    def TemplatePrefix(input: AnyInput, prefix: str, min: int = 1, max: int = 10) -> _Template:
        """Inputs ``prefix0``, ``prefix1`` and so on."""
        return _Template(input, [f"{prefix}{index}" for index in range(max)], prefix, min).checked()

    @staticmethod
    def TemplateNames(input: AnyInput, names: Sequence[str], min: int = 1) -> _Template:
        """Inputs with these names."""
        return _Template(input, list(names), None, min).checked()

    class Input(AnyInput):
        """The group."""

        def __init__(self, id: str, template: _Template, *args: Any, **more: Any) -> None:
            super().__init__(id, *args, **more)
            self.template = template

        def as_dict(self) -> Options:
            """The options that clients see."""
            return {**super().as_dict(), "template": self.template.as_dict()}


@comfytype("COMFY_DYNAMICCOMBO_V3")
class DynamicCombo(ComfyTypeI):
    """A choice that brings inputs: ``{"mode": "the choice", "width": 512}``."""

    Type = dict

    @dataclass
    class Option:
        """One choice and its inputs."""

        key: str
        inputs: list[AnyInput] = field(default_factory=list)

        def as_dict(self) -> Options:
            """The choice as clients see it."""
            return {"key": self.key, "inputs": grouped(self.inputs)}

    class Input(AnyInput):
        """The choice."""

        def __init__(self, id: str, options: Sequence[DynamicCombo.Option], *args: Any, **more: Any) -> None:
            super().__init__(id, *args, **more)
            self.options = list(options)

        def as_dict(self) -> Options:
            """The options that clients see."""
            return {**super().as_dict(), "options": [option.as_dict() for option in self.options]}


def grouped(inputs: Iterable[AnyInput]) -> Mapping[str, Mapping[str, object]]:
    """Inputs in the form of ``INPUT_TYPES``."""
    groups: dict[str, dict[str, object]] = {"required": {}}
    for declared in inputs:
        place = groups.setdefault("optional" if declared.optional else "required", {})
        place[declared.id] = (declared.get_io_type(), declared.as_dict())
    return groups
