"""What nodes that write files share: the texts inside, the names, and what clients are shown."""

from __future__ import annotations

import secrets
import string
from typing import Final

from torch import Tensor

from comfykernel_core_nodes.nodes.image.encoding import encode_png
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.json_types import Json, JsonObject
from comfykernel_sdk.storage import FileKind, FileRef

SAVED_COMPRESSION: Final = 4
"""zlib level of saved files: within a few percent of the smallest, several times faster."""

PREVIEW_COMPRESSION: Final = 1
"""zlib level of files that are looked at once."""

RANDOM_LETTERS: Final = 5


def texts_of(context: NodeContext, prompt: JsonObject | None, extra: JsonObject | None) -> JsonObject:
    """What is written into a file: the prompt, then ``extra_pnginfo`` by member; nothing where the settings say so."""
    if context.settings.execution.disable_metadata:
        return {}
    texts: JsonObject = {} if prompt is None else {"prompt": prompt}
    return {**texts, **(extra or {})}


def save_png(
    context: NodeContext, images: Tensor, prefix: str, kind: FileKind, texts: JsonObject, compress_level: int
) -> list[Json]:
    """Write images [batch, height, width, channel] as numbered PNG files; gives what clients are shown of them."""
    place = context.files.numbered(prefix, kind, width=images.shape[2], height=images.shape[1])
    saved: list[Json] = []
    for number, image in enumerate(images):
        context.check_cancelled()
        data = encode_png(image, texts, compress_level=compress_level)
        saved.append(shown(context.files.write_numbered(place, ".png", data, offset=number, batch_number=number)))
    return saved


def temporary_prefix(name: str = "ComfyUI_temp_") -> str:
    """A file name for previews that no other node has."""
    return name + "".join(secrets.choice(string.ascii_lowercase) for _ in range(RANDOM_LETTERS))


def shown(ref: FileRef) -> JsonObject:
    """A file as clients ask for it."""
    return {"filename": ref.filename, "subfolder": ref.subfolder, "type": ref.type}
