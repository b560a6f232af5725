"""Nodes for texts made of values, and for values taken out of texts: formats and JSON."""

from __future__ import annotations

import json
import string
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal, TypedDict

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.json_types import Json
from comfykernel_sdk.sockets import AnyValue, Choice, Growing, Int, Out, Socket, Text

string_node = extra_node("nodes_string")

LETTERS: Final = tuple(string.ascii_lowercase)

WIDEST_FIELD: Final = 10_000
"""Characters that a width or a precision in a format may ask for."""

LongText = Annotated[str, Text(default="", multiline=True)]
Indent = Annotated[int, Int(default=2, min=0, max=8)]


class SafeFormatter(string.Formatter):
    """``str.format`` without a way into objects: no attributes, and no fields wider than :data:`WIDEST_FIELD`."""

    def get_field(self, field_name: str, args: Sequence[object], kwargs: Mapping[str, object]) -> tuple[object, str]:
        """The value of a field such as ``a`` or ``a[0]``."""
        if "." in field_name.partition("[")[0] or "]." in field_name:
            raise BadInput(
                f"The field {{{field_name}}} asks for an attribute.", type="invalid_format",
                hint="Write the letter of an input, with [index] or [key] where it holds several values.",
            )  # fmt: skip
        value, name = super().get_field(field_name, args, kwargs)
        return value, str(name)

    def format_field(self, value: object, format_spec: str) -> str:
        """The text of a value."""
        numbers = "".join(c if c.isdigit() else " " for c in format_spec).split()
        if any(len(number) > 6 or int(number) > WIDEST_FIELD for number in numbers):
            raise BadInput(
                f"The format {format_spec!r} is wider than {WIDEST_FIELD} characters.", type="invalid_format"
            )
        return str(super().format_field(value, format_spec))


@string_node("StringFormat", category="utils/string", display_name="Format Text")
def string_format(
    f_string: Annotated[str, Text(default="{a}", multiline=True)],
    values: Annotated[dict[str, AnyValue], Growing(names=LETTERS, min=0)],
) -> str:
    """Put values into a text where it says {a}, {b} and so on; {a:.2f} and the like say how they are written.

    Raises:
        BadInput: a field names no input, or its format does not fit the value.
    """
    try:
        return SafeFormatter().vformat(f_string, (), values)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise BadInput(
            f"The text {f_string!r} can't be filled in: {type(error).__name__} {error}.", type="invalid_format",
            hint=f"Linked inputs: {', '.join(values) or 'none'}. Braces that are meant as such are doubled.",
        ) from error  # fmt: skip


@string_node("JsonExtractString", category="utils/string", display_name="Extract Text from JSON")
def json_extract_string(
    json_string: Annotated[str, Text(multiline=True)], key: Annotated[str, Text(multiline=False)]
) -> str:
    """Take the value of a key out of the first JSON object in a text; an empty text where there is none.

    Text around the object does not matter. Values that are no texts are written as Python writes them.
    """
    value = first_object(json_string).get(key)
    return "" if value is None else str(value)


def first_object(text: str) -> dict[str, Json]:
    """The first JSON object in a text, wherever it begins; an empty one where there is none."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        try:
            found, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            start = text.find("{", start + 1)
            continue
        return dict(found)
    return {}


def _written(value: object, indent: int, kind: str) -> str:
    try:
        return json.dumps(value, indent=indent or None, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise BadInput(f"The {kind} can't be written as JSON: {error}.", type="not_json") from error


@string_node("ConvertArrayToString", category="utils/string", display_name="Convert Array to String")
def convert_array_to_string(array: Annotated[object, Socket("ARRAY")], indent: Indent = 2) -> str:
    """Write an array as JSON; without indentation on one line.

    Raises:
        BadInput: it holds what JSON can't express.
    """
    return _written(array, indent, "array")


@string_node("ConvertDictionaryToString", category="utils/string", display_name="Convert Dictionary to String")
def convert_dictionary_to_string(dictionary: Annotated[object, Socket("DICT")], indent: Indent = 2) -> str:
    """Write a dictionary as JSON; without indentation on one line.

    Raises:
        BadInput: it holds what JSON can't express.
    """
    return _written(dictionary, indent, "dictionary")


class AnyStyle(TypedDict):
    """No style."""

    style: Literal["none"]


class PhotoStyle(TypedDict):
    """A photograph."""

    style: Literal["photo"]
    photo: LongText


class ArtStyle(TypedDict):
    """Another picture."""

    style: Literal["art_style"]
    art_style: LongText


@string_node("BuildJsonPromptIdeogram", category="utils/string", display_name="Build JSON Prompt (Ideogram)")
def build_json_prompt_ideogram(
    element: Annotated[object, Socket("ARRAY")],
    high_level_description: LongText,
    background: LongText,
    style: Annotated[AnyStyle | PhotoStyle | ArtStyle, Choice(tooltip="The kind of picture.")],
    aesthetics: LongText,
    lighting: LongText,
    medium: LongText,
    color_palette: Annotated[object, Socket("COLORS", options={"default": []})] = None,
) -> Annotated[object, Socket("DICT"), Out("prompt")]:
    """Put descriptions and the elements of Create Bounding Boxes into the JSON form that some image models read.

    What is empty is left out where models do not need it.
    """
    prompt: dict[str, object] = {}
    if high_level_description:
        prompt["high_level_description"] = high_level_description
    if style["style"] != "none":
        about: dict[str, object] = {"aesthetics": aesthetics, "lighting": lighting, "medium": medium}
        about.update({"photo": style["photo"]} if style["style"] == "photo" else {"art_style": style["art_style"]})
        if color_palette:
            about["color_palette"] = color_palette
        prompt["style_description"] = about
    prompt["compositional_deconstruction"] = {"background": background, "elements": element}
    return prompt
