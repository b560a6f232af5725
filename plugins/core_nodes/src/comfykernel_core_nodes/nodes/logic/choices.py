"""Nodes that choose between values or convert them."""

from __future__ import annotations

import math
from typing import Annotated, Final, TypeVar

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Choice, Int, Out, Socket, Toggle

logic_node = extra_node("nodes_logic")
number_node = extra_node("nodes_math")

T = TypeVar("T")

HEX_COLOUR_LENGTHS: Final = (7, 9)


@logic_node("ComfySwitchNode", category="logic", display_name="If/Else Switch", search_aliases=("if", "switch"))
class Switch:
    """Give one of two values; what the other one would cost is never spent."""

    def check_lazy(self, switch: bool, on_false: T | None = None, on_true: T | None = None) -> list[str]:
        """Only the chosen one is needed."""
        return ["on_true" if switch else "on_false"]

    def run(
        self,
        switch: Annotated[bool, Toggle()],
        on_false: Annotated[T | None, Socket("*", lazy=True)] = None,
        on_true: Annotated[T | None, Socket("*", lazy=True)] = None,
    ) -> Annotated[T | None, Out("output")]:
        """The chosen value, ``None`` where its input is not linked."""
        return on_true if switch else on_false


def any_choice(choice: str, index: int = 0) -> bool:
    """The choices are made in the page: every one of them will do."""
    return True


@logic_node("CustomCombo", category="utils", display_name="Custom Combo", experimental=True, validate=any_choice)
def custom_combo(
    choice: Annotated[str, Choice(as_list=False)], index: Annotated[int, Int(default=0)] = 0
) -> tuple[str, Annotated[int, Out("INDEX")]]:
    """A list of texts that is written in the page, of which one is chosen."""
    return choice, index


@number_node("ComfyNumberConvert", category="math", display_name="Convert Number")
def number_convert(
    value: Annotated[int | float | str | bool, Socket("INT,FLOAT,STRING,BOOLEAN")],
) -> tuple[float, int]:
    """Turn a text, a yes or no, or a number into a number and a whole number; decimals are cut off.

    Raises:
        BadInput: the text is no number, or it is infinite.
    """
    if isinstance(value, str):
        value = _number(value)
    try:
        as_float = float(value)
    except OverflowError:
        as_float = math.inf
    if not math.isfinite(as_float):
        raise BadInput(f"{value!r} is not finite.", type="not_a_number", hint="Give a number such as 12 or -0.5.")
    return as_float, int(value)


def _number(text: str) -> int | float:
    for kind in (int, float):
        try:
            return kind(text.strip())
        except ValueError:
            continue
    raise BadInput(f"{text[:100]!r} is no number.", type="not_a_number", hint="Give a number such as 12 or -0.5.")


@number_node("ColorToRGBInt", category="utils", display_name="Color Picker")
def color_to_rgb_int(
    color: Annotated[str, Socket("COLOR", options={"default": "#ffffff", "socketless": False})],
) -> tuple[
    Annotated[int, Out("rgb_int")],
    Annotated[str, Socket("COLOR"), Out("hex")],
    Annotated[float, Out("alpha")],
]:
    """Turn a colour such as #FF5733 into the number 0xRRGGBB; two more digits are its opacity.

    Raises:
        BadInput: it is no such colour.
    """
    red, green, blue, alpha = parsed_colour(color)
    return red << 16 | green << 8 | blue, color[:7], alpha / 255.0


def parsed_colour(colour: str) -> tuple[int, int, int, int]:
    """Red, green, blue and opacity of ``#RRGGBB`` or ``#RRGGBBAA``, each 0 to 255.

    Raises:
        BadInput: it is no such colour.
    """
    digits = colour[1:]
    if not colour.startswith("#") or len(colour) not in HEX_COLOUR_LENGTHS or not _is_hex(digits):
        raise BadInput(
            f"{colour[:100]!r} is no colour.", type="invalid_colour", hint="Write it as #RRGGBB or #RRGGBBAA."
        )
    values = bytes.fromhex(digits)
    return values[0], values[1], values[2], values[3] if len(values) > 3 else 255


def _is_hex(digits: str) -> bool:
    return all(digit in "0123456789abcdefABCDEF" for digit in digits)
