"""Values that stand in a list of widget values but belong to no input: controls and buttons beside a widget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from comfykernel_sdk.json_types import Json
    from comfykernel_sdk.nodes import InputSpec

Test: TypeAlias = "Callable[[Json], bool]"

SEEDS: Final = ("seed", "noise_seed")
CONTROL_VALUES: Final = ("fixed", "increment", "increment-wrap", "decrement", "randomize")
"""What the widget after a seed may say of the time after a run."""

UPLOADS: Final = ("image_upload", "video_upload", "audio_upload", "animated_image_upload")
UPLOAD_VALUES: Final = ("image", "video", "audio", "", None)
"""What the button after a file is stored as."""

BUTTONS_OF_3D: Final = ("upload3dmodel", "uploadExtraResources", "clear")
"""Buttons of nodes that show a model in space; they stand between values."""


def _is_control(value: Json) -> bool:
    # Files of old have a truth value here: whether to draw a new seed.
    return isinstance(value, bool) or value in CONTROL_VALUES


def _is_upload(value: Json) -> bool:
    return value in UPLOAD_VALUES and not isinstance(value, bool)


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_empty(value: Json) -> bool:
    return value == ""


def _is_refresh(value: Json) -> bool:
    return value == "refresh"


def _is_switch(value: Json) -> bool:
    return isinstance(value, bool)


def companions_of(spec: InputSpec) -> Sequence[Test]:
    """What may follow the value of a widget, in this order; each is there only if its test holds."""
    options = spec.options or {}
    tests: list[Test] = []
    if has_control(spec):
        tests.append(_is_control)
        if spec.type == "COMBO":
            tests.append(_is_empty)  # a filter of the choices
    if options.get("remote"):
        tests += [_is_switch, _is_refresh]
    if any(options.get(each) for each in UPLOADS):
        tests.append(_is_upload)
    if spec.type == "BOUNDING_BOX":
        tests += [_is_number] * 4
    return tests


def has_control(spec: InputSpec) -> bool:
    """Whether the editor draws the control of what happens to the value after a run."""
    declared = (spec.options or {}).get("control_after_generate")
    return bool(declared) or (declared is None and spec.type == "INT" and spec.name in SEEDS)
