"""Encoded pictures: truncated values, text chunks, animations."""

from __future__ import annotations

import io
import json
import math

import pytest
import torch
from PIL import Image

from comfykernel_core_nodes.nodes.image.encoding import encode_png, encode_webp, to_picture
from comfykernel_sdk.errors import BadInput


def test_values_are_cut_and_rounded_down() -> None:
    inverted = 1.0 - torch.tensor(153) / 255.0
    image = torch.tensor([[-1.0, 0.999, 2.0], [math.nan, 0.5, inverted]]).view(1, 2, 3)
    assert list(to_picture(image).get_flattened_data()) == [(0, 254, 255), (0, 127, 101)]


def test_one_channel_is_grey() -> None:
    assert to_picture(torch.zeros(2, 3, 1)).mode == "L"
    assert to_picture(torch.zeros(2, 3, 4)).mode == "RGBA"


def test_png_texts_in_order_and_form() -> None:
    texts = {
        "prompt": {"1": {"title": "Bild ä 猫", "is_changed": [math.nan]}},
        "workflow": {"v": 1.5, "n": []},
        "other": "text",
    }
    data = encode_png(torch.zeros(4, 8, 3), texts, compress_level=4)
    picture = Image.open(io.BytesIO(data))
    picture.load()
    assert picture.text == {
        "prompt": '{"1": {"title": "Bild \\u00e4 \\u732b", "is_changed": [NaN]}}',
        "workflow": '{"v": 1.5, "n": []}',
        "other": '"text"',
    }
    places = [data.index(chunk) for chunk in (b"IHDR", b"tEXtprompt", b"tEXtworkflow", b"tEXtother", b"IDAT", b"IEND")]
    assert places == sorted(places)


@pytest.mark.parametrize("keyword", ["", "x" * 80, "猫", "a\0b"])
def test_keyword_that_a_png_cannot_hold(keyword: str) -> None:
    with pytest.raises(BadInput) as error:
        encode_png(torch.zeros(1, 1, 3), {keyword: 1}, compress_level=1)
    assert error.value.type == "invalid_metadata_key"


def test_webp_holds_all_frames_and_texts() -> None:
    frames = torch.eye(3).view(3, 1, 1, 3).expand(3, 4, 6, 3)
    data = encode_webp(frames, {"prompt": {"a": 1}, "workflow": [2]}, fps=4.0, lossless=True, quality=80, method=0)
    picture = Image.open(io.BytesIO(data))
    exif = picture.getexif()
    assert (picture.n_frames, picture.size) == (3, (6, 4))
    assert exif[0x0110] == 'prompt:{"a": 1}'
    assert json.loads(exif[0x010F].removeprefix("workflow:")) == [2]
