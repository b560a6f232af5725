"""Values of widgets by the name of their input: the editor stores most of them by position only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from .companions import BUTTONS_OF_3D, companions_of

if TYPE_CHECKING:
    from comfykernel_sdk.json_types import Json
    from comfykernel_sdk.nodes import InputSpec, Slots

    from .document import Drawn

WIDGET_TYPES: Final = frozenset(("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"))
"""Types for which the editor always draws a widget; a list of choices is one as well, whatever its type."""

DRAWN_TYPES: Final = frozenset(
    """COLOR CURVE RANGE CHART GALLERIA MARKDOWN TEXTAREA BOUNDING_BOX BOUNDING_BOXES
    WEBCAM AUDIO_RECORD LOAD_3D LOAD_3D_ANIMATION""".split()
)
"""Types for which some versions of it draw one: not where the file has a plain input."""

NEVER_STORED: Final[Mapping[str, Json]] = {
    "AUDIO_UI": "", "IMAGECOMPARE": ["", ""], "IMAGEUPLOAD": None, "AUDIOUPLOAD": None,
}  # fmt: skip
"""Types of widgets that only show something: their value is in no file, and this is what is sent."""

ZEROS: Final[Mapping[str, Json]] = {
    "INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False, "WEBCAM": "", "AUDIO_RECORD": "", "LOAD_3D": "",
}  # fmt: skip
"""What a widget begins with when nothing is declared."""


class WidgetValue(NamedTuple):
    """One value that is sent: ``name`` is dotted where the input belongs to another one."""

    name: str
    spec: InputSpec
    value: Json


class _Missing:
    """Stands for a value that the file does not have."""


MISSING: Final = _Missing()


class _Stored(Protocol):
    def take(self, name: str, spec: InputSpec) -> Json | _Missing:
        """The value of the next widget."""

    def grown(self, name: str, slots: Slots) -> list[str]:
        """The slots of a growing group that the node has."""


def is_widget(spec: InputSpec, slots: Mapping[str, bool] | None = None, name: str = "") -> bool:
    """Whether the editor draws a widget for an input; ``slots``: what the file says of its input slots."""
    options = spec.options or {}
    if spec.group == "hidden" or spec.match or spec.slots is not None or options.get("forceInput"):
        return False
    if spec.type in WIDGET_TYPES or spec.choices is not None or spec.source is not None or spec.branches is not None:
        return True
    told = (slots or {}).get(name or spec.name)
    return "widgetType" in options or (spec.type in DRAWN_TYPES if told is None else told)


def read_values(inputs: Sequence[InputSpec], node: Drawn) -> Iterator[WidgetValue]:
    """The values that a node's widgets have, in the order in which the editor draws them; defaults where none is kept.

    Values for widgets that are not declared are left out.
    """
    slots = {slot.input_name: slot.widget is not None for slot in node.inputs or ()}
    named = node.widgets_values_named
    if named is None and isinstance(node.widgets_values, dict):
        named = node.widgets_values
    listed = node.widgets_values if isinstance(node.widgets_values, list) else []
    if named is None and any(spec.type.startswith("LOAD_3D") for spec in inputs):
        listed = [value for value in listed if not (isinstance(value, str) and value in BUTTONS_OF_3D)]
    stored = _Listed(listed, slots) if named is None else _Named(named)
    yield from _read(inputs, stored, slots, "")


def default_of(spec: InputSpec) -> Json | _Missing:
    """What a new widget shows; ``MISSING`` for a list of files, which the server resolves."""
    options = spec.options or {}
    if options.get("default") is not None:
        return options["default"]
    if spec.branches:
        return next(iter(spec.branches))
    if spec.source is not None:
        return MISSING
    if spec.choices is not None:
        return spec.choices[0] if spec.choices else MISSING
    zero = ZEROS.get(str(options.get("widgetType", spec.type)), MISSING)
    low = options.get("min")
    return max(zero, low) if isinstance(zero, (int, float)) and isinstance(low, (int, float)) else zero


def in_drawn_order(inputs: Iterable[InputSpec]) -> list[InputSpec]:
    """Required inputs before optional ones."""
    return sorted(inputs, key=lambda spec: spec.group == "optional")


def _read(
    inputs: Iterable[InputSpec], stored: _Stored, slots: Mapping[str, bool], prefix: str
) -> Iterator[WidgetValue]:
    for spec in in_drawn_order(inputs):
        name = prefix + spec.name
        if spec.slots is not None:
            yield from _read_group(spec, stored, name)
            continue
        if spec.type in NEVER_STORED:
            if spec.group == "required":
                yield WidgetValue(name, spec, NEVER_STORED[spec.type])
            continue
        if not is_widget(spec, slots, name):
            continue
        value = stored.take(name, spec)
        if value is None or isinstance(value, _Missing):
            value = default_of(spec)
        if not isinstance(value, _Missing):
            yield WidgetValue(name, spec, value)
        if spec.branches is not None:
            yield from _read(spec.branches.get(str(value), ()), stored, slots, f"{name}.")


def _read_group(spec: InputSpec, stored: _Stored, name: str) -> Iterator[WidgetValue]:
    slots = spec.slots
    if slots is None or not is_widget(slots.input):
        return
    for own_name in stored.grown(name, slots):
        value = stored.take(f"{name}.{own_name}", slots.input)
        if value is not None and not isinstance(value, _Missing):
            yield WidgetValue(f"{name}.{own_name}", slots.input, value)


class _Named:
    """Values that the file has by name."""

    def __init__(self, values: Mapping[str, Json]) -> None:
        self._values = values

    def take(self, name: str, spec: InputSpec) -> Json | _Missing:
        return self._values.get(name, MISSING)

    def grown(self, name: str, slots: Slots) -> list[str]:
        return [slot for slot in slots.names if f"{name}.{slot}" in self._values]


class _Listed:
    """Values that the file has by position, with those of controls and buttons between them."""

    def __init__(self, values: Sequence[Json], slots: Mapping[str, bool]) -> None:
        self._values = values
        self._slots = slots
        self._next = 0

    def take(self, name: str, spec: InputSpec) -> Json | _Missing:
        if self._next >= len(self._values):
            return MISSING
        value = self._values[self._next]
        self._next += 1
        for belongs in companions_of(spec):
            if self._next < len(self._values) and belongs(self._values[self._next]):
                self._next += 1
        return value

    def grown(self, name: str, slots: Slots) -> list[str]:
        drawn = [place for place, slot in enumerate(slots.names) if f"{name}.{slot}" in self._slots]
        if drawn == list(range(len(drawn))) and drawn:
            return slots.names[: len(drawn)]
        # The editor draws a spare one; newer files leave out what has no link.
        last = max(drawn, default=-1)
        return slots.names[: max(slots.min, last + 1) + 1]
