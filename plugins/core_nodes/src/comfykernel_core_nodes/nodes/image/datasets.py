"""Nodes that read whole folders of images, with texts beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Final

import numpy as np
import torch
from PIL import Image as PillowImage
from PIL import ImageOps
from torch import Tensor

from comfykernel_core_nodes.diffusion.text_encoding import encode_prompt
from comfykernel_core_nodes.nodes.conditioning.prompts import embedding_files, present_clip
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.image.decoding import decode_image
from comfykernel_core_nodes.nodes.image.encoding import to_picture
from comfykernel_core_nodes.nodes.sockets import ClipModel, Conditions
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.errors import BadInput, NotFound
from comfykernel_sdk.sockets import Choice, Image, Int, Socket
from comfykernel_sdk.storage import FileRef

train_node = extra_node("nodes_train")

ENDINGS: Final = (".png", ".jpg", ".jpeg", ".webp")

LONGEST_SIDE: Final = 10000

MOST_REPEATS: Final = 1000
"""How often the name of a folder may ask for its images."""

LANCZOS: Final = PillowImage.Resampling.LANCZOS

Fit = Callable[[PillowImage.Image, tuple[int, int]], PillowImage.Image]
FITS: Final[dict[str, Fit]] = {
    "Stretch": lambda picture, size: picture.resize(size, LANCZOS),
    "Crop": lambda picture, size: ImageOps.fit(picture, size, LANCZOS),
    "Pad": lambda picture, size: ImageOps.pad(picture, size, LANCZOS),
}

Folder = Annotated[str, Choice(source="input", kinds=("folder",))]
ResizeMethod = Annotated[str, Choice("None", *FITS, default="None")]
SideOrFirst = Annotated[int, Int(default=-1, min=-1, max=LONGEST_SIDE, step=1)]


@train_node(
    "LoadImageSetFromFolderNode", category="loaders", display_name="Load Image Dataset from Folder",
    experimental=True, volatile=True,
)  # fmt: skip
def load_image_set_from_folder(context: NodeContext, folder: Folder, resize_method: ResizeMethod = "None") -> Image:
    """Read all images of a folder as one batch, in the order of their names.

    Args:
        folder: a folder below the input folder.
        resize_method: how images of another size than the first are brought to its size.

    Raises:
        BadInput: there is no image, or one has another size and no method is chosen.
    """
    return _batch(context, [ref for ref in _images(context, folder) if ref.subfolder == folder], resize_method, -1, -1)


@train_node(
    "LoadImageTextSetFromFolderNode", category="loaders", display_name="Load Image and Text Dataset from Folder",
    experimental=True, volatile=True,
)  # fmt: skip
def load_image_text_set_from_folder(
    context: NodeContext,
    folder: Folder,
    clip: Annotated[ClipModel, Socket("CLIP", bare=False)],
    resize_method: ResizeMethod = "None",
    width: SideOrFirst = -1,
    height: SideOrFirst = -1,
) -> tuple[Image, Conditions]:
    """Read all images of a folder as one batch, and the texts beside them (NAME.txt) as one condition for each.

    Folders in it whose names begin with a number, such as 10_cat, give their images as often.

    Args:
        folder: a folder below the input folder.
        width: of the batch; -1 takes that of the first image.
        height: of the batch; -1 takes that of the first image.

    Raises:
        BadInput: there is no image, or one has another size and no method is chosen.
    """
    refs = [ref for ref in _images(context, folder) for _ in range(_repeats(ref, folder))]
    images = _batch(context, refs, resize_method, width, height)
    text_model, lookup = present_clip(clip), embedding_files(context.models)
    with reported():
        known = {text: encode_prompt(text_model, text, embeddings=lookup) for text in {_text(context, r) for r in refs}}
    return images, [condition for ref in refs for condition in known[_text(context, ref)]]


def _images(context: NodeContext, folder: str) -> list[FileRef]:
    """Images in a folder and in the folders right below it."""
    files = (info.ref for info in context.files.list("input", recursive=True))
    found = [
        ref
        for ref in files
        if ref.filename.lower().endswith(ENDINGS) and folder in (ref.subfolder, ref.subfolder.rpartition("/")[0])
    ]
    return sorted(found, key=lambda ref: (ref.subfolder, ref.filename))


def _repeats(ref: FileRef, folder: str) -> int:
    number = ref.subfolder.removeprefix(folder).strip("/").partition("_")[0]
    return min(int(number), MOST_REPEATS) if number.isascii() and number.isdigit() else 1


def _text(context: NodeContext, ref: FileRef) -> str:
    try:
        with context.files.open(FileRef(ref.filename.rpartition(".")[0] + ".txt", ref.subfolder, ref.type)) as file:
            return file.read().decode("utf-8", "replace").strip()
    except NotFound:
        return ""


def _batch(context: NodeContext, refs: Iterable[FileRef], method: str, width: int, height: int) -> Tensor:
    """The images of files, brought to a size; -1 is that of the first."""
    rows: list[Tensor] = []
    for ref, picture in _pictures(context, refs):
        width, height = (picture.width if width == -1 else width), (picture.height if height == -1 else height)
        if picture.size != (width, height):
            if method not in FITS:
                raise BadInput(
                    f"{ref.filename} has {picture.width} by {picture.height} pixels, not {width} by {height}.",
                    type="image_sizes_differ", hint="Choose a resize method, or give all images one size.",
                )  # fmt: skip
            picture = FITS[method](picture, (max(1, width), max(1, height)))
        rows.append(torch.from_numpy(np.array(picture).astype(np.float32) / 255.0))
    if not rows:
        raise BadInput(
            "There is no image in the folder.", type="no_images", hint=f"Images end in {', '.join(ENDINGS)}."
        )
    return torch.stack(rows)


def _pictures(context: NodeContext, refs: Iterable[FileRef]) -> Iterator[tuple[FileRef, PillowImage.Image]]:
    limit = context.settings.execution.max_image_pixels
    for ref in refs:
        context.check_cancelled()
        with context.files.open(ref) as file:
            images, _ = decode_image(file, ref.filename, max_pixels=limit)
        yield ref, to_picture(images[0])
