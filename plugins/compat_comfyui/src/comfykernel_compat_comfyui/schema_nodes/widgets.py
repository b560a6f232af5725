"""The types that clients draw as fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .io_types import (
    ComfyTypeI,
    ComfyTypeIO,
    ControlAfterGenerate,
    FolderType,
    NumberDisplay,
    Options,
    Output,
    UploadType,
    WidgetInput,
    comfytype,
    prune_dict,
)


def _plain(value: object) -> object:
    """The value of an enumeration's member, anything else as it is."""
    return value.value if isinstance(value, Enum) else value


@comfytype("BOOLEAN")
class Boolean(ComfyTypeIO):
    """A yes or no."""

    Type = bool

    class Input(WidgetInput):
        """Drawn as a switch."""

        def __init__(
            self,
            id: str,
            *args: Any,
            label_on: str | None = None,
            label_off: str | None = None,
            **more: Any,
        ) -> None:
            super().__init__(id, *args, **more)
            self.label_on = label_on
            self.label_off = label_off

        def as_dict(self) -> Options:
            """The options that clients see."""
            return {**super().as_dict(), **prune_dict({"label_on": self.label_on, "label_off": self.label_off})}


class _NumberInput(WidgetInput):
    """A number within bounds."""

    def __init__(
        self,
        id: str,
        *args: Any,
        min: float | None = None,
        max: float | None = None,
        step: float | None = None,
        display_mode: NumberDisplay | str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(id, *args, **more)
        self.min = min
        self.max = max
        self.step = step
        self.display_mode = display_mode

    def as_dict(self) -> Options:
        """The options that clients see."""
        own = {"min": self.min, "max": self.max, "step": self.step, "display": _plain(self.display_mode)}
        return {**super().as_dict(), **prune_dict(own)}


@comfytype("INT")
class Int(ComfyTypeIO):
    """A whole number."""

    Type = int

    class Input(_NumberInput):
        """Drawn as a field for numbers."""

        def __init__(
            self,
            id: str,
            *args: Any,
            control_after_generate: bool | ControlAfterGenerate | None = None,
            **more: Any,
        ) -> None:
            super().__init__(id, *args, **more)
            self.control_after_generate = control_after_generate

        def as_dict(self) -> Options:
            """The options that clients see."""
            own = {"control_after_generate": _plain(self.control_after_generate)}
            return {**super().as_dict(), **prune_dict(own)}


@comfytype("FLOAT")
class Float(ComfyTypeIO):
    """A number."""

    Type = float

    class Input(_NumberInput):
        """Drawn as a field for numbers."""

        def __init__(
            self,
            id: str,
            *args: Any,
            round: float | bool | None = None,
            gradient_stops: Sequence[Mapping[str, object]] | None = None,
            **more: Any,
        ) -> None:
            super().__init__(id, *args, **more)
            self.round = round
            self.gradient_stops = gradient_stops

        def as_dict(self) -> Options:
            """The options that clients see."""
            own = {"round": self.round, "gradient_stops": self.gradient_stops}
            return {**super().as_dict(), **prune_dict(own)}


@comfytype("STRING")
class String(ComfyTypeIO):
    """A text."""

    Type = str

    class Input(WidgetInput):
        """Drawn as a field or a box for text."""

        def __init__(
            self,
            id: str,
            *args: Any,
            multiline: bool = False,
            dynamic_prompts: bool | None = None,
            **more: Any,
        ) -> None:
            super().__init__(id, *args, **more)
            self.multiline = multiline
            self.dynamic_prompts = dynamic_prompts

        def as_dict(self) -> Options:
            """The options that clients see."""
            own = {"multiline": self.multiline, "dynamicPrompts": self.dynamic_prompts}
            return {**super().as_dict(), **prune_dict(own)}


@dataclass
class RemoteOptions:
    """A list of choices that the page asks a server for; ``refresh`` and ``timeout`` in milliseconds."""

    route: str
    refresh_button: bool
    control_after_refresh: str = "first"
    timeout: int | None = None
    max_retries: int | None = None
    refresh: int | None = None

    def as_dict(self) -> Options:
        """The options that clients see."""
        return prune_dict(vars(self))


class _ComboInput(WidgetInput):
    """One of several values, or several of them."""

    multiselect = False

    def __init__(
        self,
        id: str,
        options: Sequence[object] | type[Enum] | None = None,
        *args: Any,
        default: object = None,
        control_after_generate: bool | ControlAfterGenerate | None = None,
        upload: UploadType | None = None,
        image_folder: FolderType | None = None,
        remote: RemoteOptions | None = None,
        **more: Any,
    ) -> None:
        self.multiselect = bool(more.pop("multiselect", self.multiselect))
        super().__init__(id, *args, **more)
        self.default = _plain(default if default is not None else self.default)
        listed = list(options) if options is not None else None
        self.options = [_plain(option) for option in listed] if listed is not None else None
        self.control_after_generate = control_after_generate
        self.upload = upload
        self.image_folder = image_folder
        self.remote = remote

    def as_dict(self) -> Options:
        """The options that clients see."""
        own = {
            "multiselect": self.multiselect,
            "options": self.options,
            "control_after_generate": _plain(self.control_after_generate),
            "image_folder": _plain(self.image_folder),
            "remote": self.remote.as_dict() if self.remote is not None else None,
        }
        if self.upload is not None:
            own[str(_plain(self.upload))] = True
        return {**super().as_dict(), **prune_dict(own)}


@comfytype("COMBO")
class Combo(ComfyTypeIO):
    """One of several texts."""

    Type = str

    class Input(_ComboInput):
        """Drawn as a list to choose from; ``options`` are values or an enumeration."""

    class Output(Output):
        """Gives a value of a list."""

        def __init__(
            self, id: str | None = None, *args: Any, options: Sequence[str] | None = None, **more: Any
        ) -> None:
            super().__init__(id, *args, **more)
            self.options = list(options or [])


@comfytype("COMBO")
class MultiCombo(ComfyTypeI):
    """Several of some texts."""

    Type = list

    class Input(_ComboInput):
        """Drawn as a list to choose several from; what it takes beyond a combo says how the list looks."""

        multiselect = True

        def __init__(
            self,
            id: str,
            options: Sequence[object] | type[Enum] | None = None,
            *args: Any,
            extra_dict: Mapping[str, object] | None = None,
            **more: Any,
        ) -> None:
            super().__init__(id, options, *args, **more)
            self.look, self.extra_dict = self.extra_dict, dict(extra_dict or {})

        def as_dict(self) -> Options:
            """The options that clients see."""
            return {**super().as_dict(), "multi_select": prune_dict(self.look)}


class _DrawnInput(WidgetInput):
    """A field that the page draws in its own way, without a socket unless told otherwise."""

    usual: object = None

    def __init__(self, id: str, *args: Any, **more: Any) -> None:
        more.setdefault("socketless", True)
        super().__init__(id, *args, **more)
        self.default = self.usual if self.default is None else self.default


@comfytype("COLOR")
class Color(ComfyTypeIO):
    """A colour as ``#rrggbb``."""

    Type = str

    class Input(_DrawnInput):
        """Drawn as a colour picker."""

        usual: object = "#ffffff"


@comfytype("BOUNDING_BOX")
class BoundingBox(ComfyTypeIO):
    """A rectangle: ``x``, ``y``, ``width``, ``height`` in pixels."""

    Type = dict

    class Input(_DrawnInput):
        """Drawn as a rectangle."""

        usual: object = {"x": 0, "y": 0, "width": 512, "height": 512}


@comfytype("CURVE")
class Curve(ComfyTypeIO):
    """A curve through points ``(x, y)``."""

    Type = list

    class Input(_DrawnInput):
        """Drawn as a curve; ``default`` is a list of points."""

        usual: object = [(0.0, 0.0), (1.0, 1.0)]

        def as_dict(self) -> Options:
            """The options that clients see: the page wants the points by name."""
            options = super().as_dict()
            points = options.get("default")
            return {**options, "default": {"points": points}} if isinstance(points, (list, tuple)) else options


@comfytype("IMAGECOMPARE")
class ImageCompare(ComfyTypeI):
    """Two pictures, one over the other."""

    Type = dict

    class Input(_DrawnInput):
        """Drawn as a picture with a slider."""


@comfytype("WEBCAM")
class Webcam(ComfyTypeIO):
    """A picture of a camera."""

    Type = str

    class Input(WidgetInput):
        """Drawn as the picture of the camera."""


@comfytype("HISTOGRAM")
class Histogram(ComfyTypeIO):
    """Counts of values."""

    Type = list
