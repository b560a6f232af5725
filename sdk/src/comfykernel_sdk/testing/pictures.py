"""Images for tests: made, compared, put among the inputs of a storage, read back from its outputs.

Images are float32 [batch, height, width, channel] in 0..1. Needs torch; files need Pillow.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from ..storage import FileRef

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from ..storage import Storage

TOLERANCE: Final = 1.5 / 255
"""What a file with 8 bits a channel may change, whether its writer rounds or cuts off."""


def solid_image(*colour: float, height: int = 8, width: int = 8, batch: int = 1) -> Tensor:
    """An image of one colour with one value a channel: ``solid_image(1, 0, 0)`` is red."""
    import torch

    return torch.tensor(colour, dtype=torch.float32).expand(batch, height, width, len(colour)).clone()


def gradient_image(*, height: int = 16, width: int = 16, batch: int = 1) -> Tensor:
    """An image in which every pixel differs: red grows to the right, green downwards, blue with the batch index."""
    import torch

    across = torch.linspace(0, 1, width).expand(batch, height, width)
    down = torch.linspace(0, 1, height)[:, None].expand(batch, height, width)
    through = torch.linspace(0, 1, batch)[:, None, None].expand(batch, height, width)
    return torch.stack((across, down, through), dim=-1)


def noise_image(seed: int = 0, *, height: int = 16, width: int = 16, batch: int = 1) -> Tensor:
    """Uniform noise, the same for the same seed on every machine."""
    import torch

    return torch.rand((batch, height, width, 3), generator=torch.Generator("cpu").manual_seed(seed))


def assert_images_close(actual: object, expected: Tensor, *, tolerance: float = TOLERANCE) -> None:
    """Raise ``AssertionError`` unless both have one shape and no value differs by more than ``tolerance``.

    The message names the place and both pixels of the largest difference.
    """
    import torch

    assert isinstance(actual, torch.Tensor), f"no image but {type(actual).__name__}"
    assert actual.shape == expected.shape, f"the shapes differ: {list(actual.shape)} and {list(expected.shape)}"
    if not actual.numel():
        return
    # A NaN differs from everything, also from another NaN.
    difference = (actual.float() - expected.float()).abs().nan_to_num(nan=float("inf"))
    worst = float(difference.max())
    if worst > tolerance:
        place = torch.unravel_index(difference.argmax(), difference.shape)[:-1]
        index, y, x = (int(part) for part in place)
        share = float((difference.amax(dim=-1) > tolerance).float().mean())
        raise AssertionError(
            f"{share:.1%} of the pixels differ by more than {tolerance:g}; the most, by {worst:g}, image {index} "
            f"at x={x} y={y}: {actual[index, y, x].tolist()} instead of {expected[index, y, x].tolist()}"
        )


def add_input_image(storage: Storage, name: str, image: Tensor) -> str:
    """Put the first image of a batch into the input folder as a PNG; returns the name that nodes take."""
    import numpy as np
    from PIL import Image

    pixels = (image[0].clamp(0, 1) * 255).round().to("cpu").numpy().astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    ref = storage.files.parse(name)
    return storage.files.write(FileRef(ref.filename, ref.subfolder, "input"), buffer.getvalue()).filename


def shown_images(ui: Mapping[str, object] | None, storage: Storage) -> list[Tensor]:
    """The pictures that a node shows under ``images``, each as an image with batch 1."""
    import numpy as np
    import torch
    from PIL import Image

    found = []
    entries = (ui or {}).get("images")
    for entry in entries if isinstance(entries, list) else []:
        ref = FileRef(str(entry["filename"]), str(entry.get("subfolder", "")), entry.get("type", "output"))
        with storage.files.open(ref) as file, Image.open(file) as picture:
            pixels = np.asarray(picture.convert("RGB"), dtype=np.float32)
        found.append(torch.from_numpy(pixels / 255)[None])
    return found
