"""Image files of every kind as tensors, and errors for damaged and oversized ones."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from comfykernel_core_nodes.nodes.image.decoding import decode_image, decode_mask
from comfykernel_sdk.errors import BadInput, TooLarge


def encoded(picture: Image.Image, format: str = "PNG", **options: object) -> io.BytesIO:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    buffer.seek(0)
    return buffer


def decode(file: io.BytesIO, limit: int = 10_000) -> tuple[Tensor, Tensor]:
    return decode_image(file, "picture.png", max_pixels=limit)


def test_colours_are_scaled_to_one() -> None:
    image, mask = decode(encoded(Image.new("RGB", (5, 3), (255, 51, 0))))
    assert tuple(image.shape) == (1, 3, 5, 3)
    assert image[0, 0, 0].tolist() == pytest.approx([1.0, 0.2, 0.0])
    assert tuple(mask.shape) == (1, 64, 64)
    assert not mask.any()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_becomes_an_inverted_mask(mode: str) -> None:
    picture = Image.new("RGBA", (5, 3), (9, 9, 9, 51)).convert(mode)
    image, mask = decode(encoded(picture))
    assert image[0, 0, 0].tolist() == pytest.approx([9 / 255] * 3)
    assert tuple(mask.shape) == (1, 3, 5)
    assert mask.unique().tolist() == pytest.approx([0.8])


def test_transparent_colour_of_a_palette() -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.putpixel((1, 0), 1)
    image, mask = decode(encoded(picture, transparency=1))
    assert image[0, 0].tolist() == [[1, 0, 0], [0, 1, 0]]
    assert mask[0].tolist() == [[0, 1]]


def test_sixteen_bits_keep_their_precision() -> None:
    picture = Image.fromarray(np.array([[0, 257, 32768, 65535]], dtype=np.uint16))
    image, mask = decode(encoded(picture))
    assert image[0, 0, :, 1].tolist() == pytest.approx([0.0, 257 / 65535, 32768 / 65535, 1.0])
    assert tuple(mask.shape) == (1, 64, 64)


def test_orientation_of_a_camera_is_applied() -> None:
    picture = Image.new("RGB", (4, 2), "red")
    exif = picture.getexif()
    exif[0x0112] = 6
    assert tuple(decode(encoded(picture, "JPEG", exif=exif))[0].shape) == (1, 4, 2, 3)


def test_an_animation_is_a_batch() -> None:
    frames = [Image.new("RGB", (4, 2), colour) for colour in ("red", "lime", "blue")]
    image, mask = decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert image[:, 0, 0].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert mask.shape[0] == 3


def test_frames_of_another_size_are_left_out() -> None:
    frames = [Image.new("RGB", size, "red") for size in ((4, 2), (2, 2), (4, 2))]
    assert tuple(decode(encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:]))[0].shape) == (2, 2, 4, 3)


def test_truncated_file() -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 40, 3), dtype=np.uint8))
    data = encoded(noise).getvalue()
    with pytest.raises(BadInput, match=r"picture\.png is damaged or incomplete") as error:
        decode(io.BytesIO(data[: len(data) // 2]))
    assert error.value.type == "invalid_image"


def test_file_that_is_no_image() -> None:
    with pytest.raises(BadInput, match="no image of a known format") as error:
        decode(io.BytesIO(b"certainly not"))
    assert error.value.type == "invalid_image"


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of damaged EXIF data
@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"RIFF\0\0\0\0WEBP"]),
)
def test_any_bytes_are_an_image_or_bad_input(data: bytes, magic: bytes) -> None:
    try:
        image, _ = decode(io.BytesIO(magic + data))
    except BadInput:
        return
    assert image.ndim == 4


def test_limit_of_pixels_holds_before_decoding_and_over_all_frames() -> None:
    with pytest.raises(TooLarge, match="more than 14 pixels") as error:
        decode(encoded(Image.new("RGB", (5, 3))), limit=14)
    assert error.value.type == "image_too_large"
    frames = [Image.new("RGB", (4, 2), colour) for colour in ("red", "lime", "blue")]
    with pytest.raises(TooLarge):
        decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), limit=20)


@pytest.mark.parametrize(("channel", "value"), [("red", 1.0), ("green", 0.2), ("blue", 0.0), ("alpha", 0.6)])
def test_one_channel_as_mask(channel: str, value: float) -> None:
    file = encoded(Image.new("RGBA", (5, 3), (255, 51, 0, 102)))
    mask = decode_mask(file, "picture.png", channel, max_pixels=100)
    assert tuple(mask.shape) == (1, 3, 5)
    assert mask.unique().tolist() == pytest.approx([value])


def test_missing_alpha_is_a_mask_of_zeros_in_the_size_of_the_picture() -> None:
    for mode in ("RGB", "I;16"):
        mask = decode_mask(encoded(Image.new(mode, (5, 3))), "picture.png", "alpha", max_pixels=100)
        assert torch.equal(mask, torch.zeros(1, 3, 5))
