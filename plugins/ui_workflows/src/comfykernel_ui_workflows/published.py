"""The widgets of published nodes that may not be installed here, so that workflows for other servers convert."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

from comfykernel_sdk.json_types import JsonObject
from comfykernel_sdk.nodes import InputSpec

from .object_info import specs_of
from .widgets import is_widget

FILE: Final = "published_nodes.json"

KEPT_OPTIONS: Final = (
    "default", "min", "forceInput", "widgetType", "dynamicPrompts", "control_after_generate",
    "image_upload", "video_upload", "audio_upload", "remote",
)  # fmt: skip
"""Options of an input that decide how its values are stored and sent."""


@functools.cache
def published_inputs() -> dict[str, list[InputSpec]]:
    """Node class -> its inputs that are widgets."""
    data = resources.files(__package__).joinpath(FILE).read_bytes()
    return msgspec.json.decode(data, type=dict[str, list[InputSpec]])


def describe(object_info: JsonObject) -> bytes:
    """The text of the file for the nodes of one or more servers, one node a line."""
    lines = []
    for id, spec in sorted(specs_of(object_info).items()):
        kept = [_kept(each) for each in spec.inputs if is_widget(each)]
        lines.append(msgspec.json.encode(id) + b":" + msgspec.json.encode(kept))
    return b"{\n" + b",\n".join(lines) + b"\n}\n"


def _kept(spec: InputSpec) -> JsonObject:
    kept: JsonObject = {"name": spec.name, "type": spec.type}
    if spec.group != "required":
        kept["group"] = spec.group
    if spec.choices and not any(isinstance(choice, str) and "." in choice for choice in spec.choices):
        kept["choices"] = spec.choices[:1]
    options: JsonObject = {name: spec.options[name] for name in KEPT_OPTIONS if spec.options and name in spec.options}
    if options.get("default") is not None:
        options.pop("min", None)
    if options:
        kept["options"] = options
    return kept


def main(paths: Iterable[str]) -> None:
    """Write the file anew from saved answers of ``GET /object_info``."""
    merged: JsonObject = {}
    for path in paths:
        merged |= msgspec.json.decode(Path(path).read_bytes())
    Path(__file__).with_name(FILE).write_bytes(describe(merged))


if __name__ == "__main__":
    main(sys.argv[1:])
