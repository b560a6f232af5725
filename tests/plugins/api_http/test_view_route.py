from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from comfykernel_api_http.errors import RequestRefused
from comfykernel_api_http.media_types import safe_media_type
from comfykernel_api_http.stored_files import disposition, parse_range
from comfykernel_sdk.storage import FileKind, FileRef

if TYPE_CHECKING:
    from .conftest import Served


def png(mode: str = "RGBA", color: Any = (200, 100, 50, 128), size: tuple[int, int] = (6, 5)) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, color).save(buffer, "PNG")
    return buffer.getvalue()


def stored(served: Served, name: str, data: bytes, kind: FileKind = "output", subfolder: str = "") -> None:
    served.kernel.files.write(FileRef(name, subfolder, kind), data)


async def view(served: Served, name: str | None = None, **query: str) -> httpx.Response:
    named = {} if name is None else {"filename": name}
    return await served.http.get("/view", params={**named, **query})


def picture(answer: httpx.Response) -> Image.Image:
    assert answer.status_code == 200
    return Image.open(io.BytesIO(answer.content))


async def test_a_file_as_stored(served: Served) -> None:
    stored(served, "a.png", png())
    stored(served, "b.png", png(), "input", "deep/er")
    answer = await view(served, "a.png")
    assert (answer.status_code, answer.content) == (200, png())
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"] == 'filename="a.png"'
    assert (await view(served, "b.png", type="input", subfolder="deep/er")).content == png()
    assert (await view(served, "b.png [input]", type="output", subfolder="deep/er")).status_code == 200
    assert (await view(served, "some/folder/a.png")).status_code == 200


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 404),
        ({"filename": ""}, 400),
        ({"filename": "[input]"}, 400),
        ({"filename": "none.png"}, 404),
        ({"filename": "a.png[output]"}, 404),
        ({"filename": "../a.png"}, 400),
        ({"filename": "a..png"}, 400),
        ({"filename": "/etc/passwd"}, 400),
        ({"filename": "a\0.png"}, 400),
        ({"filename": "a.png", "type": "models"}, 400),
        ({"filename": "a.png", "subfolder": ".."}, 403),
        ({"filename": "passwd", "subfolder": "/etc"}, 403),
        ({"filename": "x" * 300}, 400),
    ],
    ids=str,
)
async def test_names_that_give_no_file(served: Served, query: dict[str, str], status: int) -> None:
    stored(served, "a.png", png())
    answer = await served.http.get("/view", params=query)
    assert answer.status_code == status
    assert answer.json()["error"]["type"]


async def test_channels(served: Served) -> None:
    stored(served, "a.png", png())
    stored(served, "rgb.png", png("RGB", (1, 2, 3)))
    rgb = picture(await view(served, "a.png", channel="rgb"))
    assert (rgb.format, rgb.mode, rgb.getpixel((0, 0))) == ("PNG", "RGB", (200, 100, 50))
    alpha = picture(await view(served, "a.png", channel="a"))
    assert (alpha.mode, alpha.getpixel((0, 0))) == ("RGBA", (0, 0, 0, 128))
    assert picture(await view(served, "rgb.png", channel="a")).getpixel((0, 0)) == (0, 0, 0, 255)
    assert (await view(served, "a.png", channel="rgba")).content == png()


@pytest.mark.parametrize(
    ("preview", "channel", "format", "mode"),
    [
        ("webp", "", "WEBP", "RGBA"),
        ("jpeg", "", "JPEG", "RGB"),
        ("webp;50", "", "WEBP", "RGBA"),
        ("png", "", "WEBP", "RGBA"),
        ("", "", "WEBP", "RGBA"),
        ("jpeg;90", "rgba", "WEBP", "RGBA"),
        ("webp", "rgb", "WEBP", "RGB"),
        ("webp;9999", "", "WEBP", "RGBA"),
    ],
)
async def test_previews(served: Served, preview: str, channel: str, format: str, mode: str) -> None:
    stored(served, "a.png", png())
    answer = await view(served, "a.png", preview=preview, channel=channel)
    image = picture(answer)
    assert (image.format, image.mode, image.size) == (format, mode, (6, 5))
    assert answer.headers["content-type"] == f"image/{format.lower()}"


async def test_what_is_no_picture_has_no_preview(served: Served) -> None:
    stored(served, "a.txt", b"text")
    stored(served, "cut.png", png("RGB", (9, 9, 9), (64, 64))[:-40])
    stored(served, "large.png", png("L", 0, (3_000, 1_000)))
    served.kernel.settings.execution.max_image_pixels = 1_000_000
    for name, status, type in [
        ("a.txt", 400, "not_an_image"),
        ("cut.png", 400, "damaged_image"),
        ("large.png", 413, "too_many_pixels"),
    ]:
        answer = await view(served, name, preview="webp")
        assert (answer.status_code, answer.json()["error"]["type"]) == (status, type)


@pytest.mark.parametrize(
    ("name", "kind", "download"),
    [
        ("a.png", "image/png", False),
        ("a.WEBP", "image/webp", False),
        ("a.mp4", "video/mp4", True),
        ("a.json", "application/json", True),
        ("a.txt", "text/plain", True),
        ("a.html", "application/octet-stream", True),
        ("a.XHTML", "application/octet-stream", True),
        ("a.svg", "application/octet-stream", True),
        ("a.xml", "application/octet-stream", True),
        ("a.js", "application/octet-stream", True),
        ("a.mjs", "application/octet-stream", True),
        ("a.css", "application/octet-stream", True),
        ("a.zzzz", "application/octet-stream", True),
        ("a", "application/octet-stream", True),
        ("a.tar.gz", "application/octet-stream", True),
    ],
)
def test_content_types(name: str, kind: str, download: bool) -> None:
    assert safe_media_type(name) == (kind, download)


async def test_script_is_offered_for_download(served: Served) -> None:
    stored(served, "a.svg", b"<svg onload='x()'/>")
    headers = (await view(served, "a.svg")).headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"] == 'attachment; filename="a.svg"'
    assert headers["x-content-type-options"] == "nosniff"


async def test_ranges(served: Served) -> None:
    stored(served, "a.txt", b"0123456789")
    for asked, status, body, told in [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=0-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ]:
        answer = await served.http.get("/view?filename=a.txt", headers={"Range": asked})
        assert (answer.status_code, answer.content, answer.headers.get("content-range")) == (status, body, told)
    outside = await served.http.get("/view?filename=a.txt", headers={"Range": "bytes=10-"})
    assert (outside.status_code, outside.headers["content-range"]) == (416, "bytes */10")


async def test_a_file_that_did_not_change_is_not_sent_again(served: Served) -> None:
    stored(served, "a.txt", b"0123456789")
    first = await view(served, "a.txt")
    for condition in ({"If-None-Match": first.headers["etag"]}, {"If-Modified-Since": first.headers["last-modified"]}):
        again = await served.http.get("/view?filename=a.txt", headers=condition)
        assert (again.status_code, again.content) == (304, b"")
    stale = {"Range": "bytes=0-1", "If-Range": '"old"'}
    assert (await served.http.get("/view?filename=a.txt", headers=stale)).status_code == 200


async def test_large_files_and_head(served: Served) -> None:
    data = bytes(range(256)) * 8_000
    stored(served, "a.bin", data)
    assert (await view(served, "a.bin")).content == data
    head = await served.http.head("/view?filename=a.bin")
    assert (head.content, head.headers["content-length"]) == (b"", str(len(data)))


@given(st.text(alphabet="0123456789-,= bytes", max_size=20), st.integers(0, 100))
def test_any_range_is_inside_or_refused(header: str, size: int) -> None:
    try:
        start, end, status = parse_range(header, size)
    except RequestRefused as refusal:
        assert refusal.status == 416  # noqa: PT017
    else:
        assert 0 <= start <= end <= size
        assert status == 206 or (start, end) == (0, size)


@given(st.text(min_size=1, max_size=50))
def test_any_name_makes_one_header(filename: str) -> None:
    name, value = disposition(filename.encode("utf-8", "replace").decode())
    assert name == b"content-disposition"
    assert value.isascii()
    assert b"\r" not in value
    assert b"\n" not in value


async def test_texts_of_a_masked_picture_stay(served: Served) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("prompt", "{}")
    buffer = io.BytesIO()
    Image.new("RGB", (6, 5), (1, 2, 3)).save(buffer, "PNG", pnginfo=texts)
    stored(served, "o.png", buffer.getvalue(), "input")
    form = {"original_ref": '{"filename": "o.png", "type": "input"}', "type": "output"}
    files = {"image": ("m.png", png())}
    answer = await served.http.post("/upload/mask", data=form, files=files)
    assert answer.json() == {"name": "m.png", "subfolder": "", "type": "output"}
    image = picture(await view(served, "m.png"))
    assert image.getpixel((0, 0)) == (1, 2, 3, 128)
    assert image.info["prompt"] == "{}"


@pytest.mark.parametrize(
    "reference",
    ["", "abc", "{}", "[]", '{"filename": 5}', '{"filename": "none.png"}', '{"filename": "../o.png"}',
     '{"filename": "o.png", "type": "models"}', '{"filename": "o.png", "subfolder": "/etc"}',
     '{"filename": "small.png"}', '{"filename": "text.png"}'],
)  # fmt: skip
async def test_a_mask_without_a_good_original_writes_nothing(served: Served, reference: str) -> None:
    stored(served, "small.png", png(size=(2, 2)))
    stored(served, "text.png", b"text")
    files = {"image": ("m.png", png())}
    answer = await served.http.post("/upload/mask", data={"original_ref": reference, "type": "input"}, files=files)
    assert answer.status_code == 400
    assert list(served.kernel.files.list("input")) == []
