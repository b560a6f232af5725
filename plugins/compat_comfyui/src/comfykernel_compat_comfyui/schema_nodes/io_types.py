"""What an input, an output and a type of ``comfy_api`` are; packs derive their own from these classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, ClassVar, TypeVar

C = TypeVar("C", bound=type)
Options = dict[str, object]


def prune_dict(options: Mapping[str, object]) -> Options:
    """The entries that say something: those that are not ``None``."""
    return {key: value for key, value in options.items() if value is not None}


class NumberDisplay(StrEnum):
    """How a number is drawn."""

    number = "number"
    slider = "slider"
    gradient_slider = "gradient_slider"
    color = "color"


class ControlAfterGenerate(StrEnum):
    """What becomes of a value when a prompt has been queued."""

    fixed = "fixed"
    increment = "increment"
    decrement = "decrement"
    randomize = "randomize"


class FolderType(StrEnum):
    """The folders that clients can name."""

    input = "input"
    output = "output"
    temp = "temp"


class UploadType(StrEnum):
    """The option that draws a button for uploads."""

    image = "image_upload"
    audio = "audio_upload"
    video = "video_upload"
    model = "file_upload"


class _Socket:
    """What inputs and outputs have in common: the type they belong to, set when the type is declared."""

    Parent: ClassVar[type[ComfyType] | None] = None

    def __init__(self, id: str | None, display_name: str | None, tooltip: str | None) -> None:
        self.id = id
        self.display_name = display_name
        self.tooltip = tooltip

    @property
    def io_type(self) -> str:
        """The name of the type."""
        return self.Parent.io_type if self.Parent is not None else "*"

    def get_io_type(self) -> str:
        """The type as clients see it."""
        return self.io_type

    def as_dict(self) -> Options:
        """The options that clients see."""
        return {}


class Input(_Socket):
    """An input that only a link can fill.

    ``id`` names the argument of ``execute``; the rest are options for clients, ``extra_dict`` further ones.
    """

    id: str

    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        extra_dict: Mapping[str, object] | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
        **more: object,
    ) -> None:
        super().__init__(id, display_name, tooltip)
        self.optional = optional
        self.lazy = lazy
        self.raw_link = raw_link
        self.advanced = advanced
        self.extra_dict: Options = {**(extra_dict or {}), **more}

    def as_dict(self) -> Options:
        """The options that clients see."""
        own = {
            "display_name": self.display_name,
            "tooltip": self.tooltip,
            "lazy": self.lazy,
            "rawLink": self.raw_link,
            "advanced": self.advanced,
        }
        return prune_dict({**own, **self.extra_dict})

    def validate(self) -> None:
        """Raise when the declaration makes no sense; by default any does."""


class WidgetInput(Input):
    """An input that clients draw as a field."""

    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        default: object = None,
        socketless: bool | None = None,
        widget_type: str | None = None,
        force_input: bool | None = None,
        extra_dict: Mapping[str, object] | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
        **more: object,
    ) -> None:
        super().__init__(id, display_name, optional, tooltip, lazy, extra_dict, raw_link, advanced, **more)
        self.default = default
        self.socketless = socketless
        self.widget_type = widget_type
        self.force_input = force_input

    def as_dict(self) -> Options:
        """The options that clients see."""
        own = {
            "default": self.default,
            "socketless": self.socketless,
            "widgetType": self.widget_type,
            "forceInput": self.force_input,
        }
        return {**super().as_dict(), **prune_dict(own)}

    def get_io_type(self) -> str:
        """The type as clients see it."""
        return self.io_type


class Output(_Socket):
    """An output; ``display_name`` is shown, without one the type."""

    def __init__(
        self,
        id: str | None = None,
        display_name: str | None = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
        **more: object,
    ) -> None:
        super().__init__(id, display_name, tooltip)
        self.is_output_list = is_output_list
        self.extra_dict: Options = dict(more)

    def as_dict(self) -> Options:
        """What there is to know of the output."""
        own = {"display_name": self.display_name, "tooltip": self.tooltip, "is_output_list": self.is_output_list}
        return prune_dict(own)


class ComfyType:
    """A type of values; has at least ``Input``."""

    io_type: ClassVar[str] = "*"
    Type: ClassVar[Any] = Any


class ComfyTypeI(ComfyType):
    """A type that only inputs have."""

    class Input(Input):
        """An input of this type."""


class ComfyTypeIO(ComfyTypeI):
    """A type that inputs and outputs have."""

    class Output(Output):
        """An output of this type."""


def comfytype(io_type: str, **_: object) -> Callable[[C], C]:
    """Declare a class as a type of this name; its ``Input`` and ``Output`` then know it."""

    def declare(cls: C) -> C:
        cls.io_type = io_type  # type: ignore[attr-defined]
        for name in ("Input", "Output"):
            inner = getattr(cls, name, None)
            if not isinstance(inner, type):
                continue
            # An inherited class belongs to another type already.
            own = inner if name in vars(cls) else type(name, (inner,), {"__module__": cls.__module__})
            own.Parent = cls  # type: ignore[attr-defined]
            setattr(cls, name, own)
        return cls

    return declare


def Custom(io_type: str) -> type[ComfyTypeIO]:
    """A type of a pack's own: ``io.Custom("MY_TYPE").Input("value")``."""
    return comfytype(io_type)(type("Custom", (ComfyTypeIO,), {}))
