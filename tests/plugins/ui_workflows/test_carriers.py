"""Workflows inside files of all kinds, as real libraries write them; broken files end in a clear error."""

from __future__ import annotations

import io
import json
import struct
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from comfykernel_sdk.errors import BadInput
from comfykernel_ui_workflows.carriers import _reading, read_carried

PROMPT = {"1": {"class_type": "Paint", "inputs": {"text": "blué, 雪", "width": 8}}}
WORKFLOW = {"nodes": [], "links": [], "title": "é"}
BOTH = {"prompt": PROMPT, "workflow": WORKFLOW}
TEXTS = {name: json.dumps(value) for name, value in BOTH.items()}


def carried(data: bytes) -> Any:
    return read_carried(io.BytesIO(data))


def picture(format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, format, **options)
    return buffer.getvalue()


def png(*, packed: bool = False, international: bool = False) -> bytes:
    info = PngInfo()
    info.add_text("parameters", "else")
    for name, text in TEXTS.items():
        if international:
            info.add_itxt(name, json.dumps(BOTH[name], ensure_ascii=False), zip=packed)
        else:
            info.add_text(name, text, zip=packed)
    return picture("PNG", pnginfo=info)


def exif(prompt_tag: int = 0x0110, workflow_tag: int = 0x010F) -> Image.Exif:
    made = Image.Exif()
    made[prompt_tag], made[workflow_tag] = f"prompt:{TEXTS['prompt']}", f"Workflow:{TEXTS['workflow']}"
    return made


def animated_png() -> bytes:
    chunks = b""
    for name, text in TEXTS.items():
        body = b"comf" + name.encode() + b"\0" + text.encode()
        chunks += struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    plain = picture("PNG")
    return plain[:-12] + chunks + plain[-12:]


def safetensors(metadata: dict[str, str]) -> bytes:
    header = json.dumps(
        {"__metadata__": metadata, "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    ).encode()
    return struct.pack("<Q", len(header)) + header + b"\0" * 4


def glb(extras: Any) -> bytes:
    header = json.dumps({"asset": {"version": "2.0", "extras": extras}}).encode()
    return b"glTF" + struct.pack("<II", 2, 20 + len(header)) + struct.pack("<I", len(header)) + b"JSON" + header


FILES = {
    "png": png(),
    "png with packed texts": png(packed=True),
    "png with international texts": png(international=True),
    "png with packed international texts": png(international=True, packed=True),
    "animated png": animated_png(),
    "webp": picture("WEBP", exif=exif()),
    "webp with other tags": picture("WEBP", exif=exif(0x010E, 0x010D)),
    "jpeg": picture("JPEG", exif=exif()),
    "safetensors": safetensors(TEXTS),
    "glb": glb(TEXTS),
    "glb with objects": glb(BOTH),
    "svg": b'<?xml version="1.0"?>\n<svg><metadata><![CDATA[' + json.dumps(BOTH).encode() + b"]]></metadata></svg>",
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_prompt_and_workflow_are_found(kind: str) -> None:
    assert carried(FILES[kind]) == BOTH


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("flac", "flac", {}),
        ("ogg", "libopus", {}),
        ("opus", "libopus", {}),
        ("mp3", "libmp3lame", {}),
        ("mp4", "aac", {"movflags": "use_metadata_tags"}),
        ("mov", "aac", {"movflags": "use_metadata_tags"}),
        ("webm", "libopus", {}),
        ("matroska", "flac", {}),
    ],
)
def test_sounds_and_videos_carry_them_too(container: str, codec: str, options: dict[str, str]) -> None:
    av = pytest.importorskip("av")
    numpy = pytest.importorskip("numpy")
    buffer = io.BytesIO()
    long = {"prompt": TEXTS["prompt"], "workflow": json.dumps({**WORKFLOW, "pad": "x" * 100_000}), "artist": "nobody"}
    with av.open(buffer, "w", format=container, options=options) as file:
        file.metadata.update(long)
        stream = file.add_stream(codec, rate=48000)
        frame = av.AudioFrame.from_ndarray(numpy.zeros((1, 4096), "float32"), format="flt", layout="mono")
        frame.sample_rate = 48000
        for packet in stream.encode(frame):
            file.mux(packet)
        for packet in stream.encode(None):
            file.mux(packet)
    found = carried(buffer.getvalue())
    assert found["prompt"] == PROMPT
    assert found["workflow"]["pad"] == "x" * 100_000


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"GIF89a" + b"\0" * 20, b"<html></html>", b"RIFF\0\0\0\0WAVE"])
def test_files_of_other_kinds_are_left_to_others(data: bytes) -> None:
    assert carried(data) is None


@pytest.mark.parametrize(
    "data", [picture("PNG"), picture("WEBP"), picture("JPEG"), safetensors({"a": "b"}), glb({}), b"<svg></svg>"]
)
def test_a_file_without_a_workflow_says_so(data: bytes) -> None:
    with pytest.raises(BadInput) as caught:
        carried(data)
    assert caught.value.type == "nothing_carried"
    assert caught.value.hint


def test_numbers_that_json_does_not_know_are_read() -> None:
    assert (
        str(carried(safetensors({"prompt": '{"1": {"is_changed": [NaN]}}'})))
        == "{'prompt': {'1': {'is_changed': [nan]}}}"
    )


@pytest.mark.parametrize("text", ["{", "[" * 200_000])
def test_a_text_that_is_no_json(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        carried(safetensors({"prompt": text}))
    assert caught.value.type == "invalid_carried_workflow"


def test_a_text_beyond_the_limit_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_reading, "LARGEST_TEXT", 50)
    with pytest.raises(BadInput) as caught:
        carried(FILES["png"])
    assert caught.value.type == "carrier_too_large"


def test_a_packed_text_is_unpacked_up_to_the_limit() -> None:
    info = PngInfo()
    info.add_text("prompt", '"' + " " * 100_000_000, zip=True)
    data = picture("PNG", pnginfo=info)
    assert len(data) < 200_000
    with pytest.raises(BadInput) as caught:
        carried(data)
    assert caught.value.type == "invalid_carried_workflow"


def test_large_parts_of_other_kinds_are_stepped_over() -> None:
    image = io.BytesIO(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 2**31 - 1) + b"IDAT")
    with pytest.raises(BadInput, match="carries no workflow"):
        read_carried(image)


@settings(max_examples=500)
@given(data=st.data())
def test_a_damaged_file_ends_in_a_clear_error_at_worst(data: st.DataObject) -> None:
    whole = bytearray(FILES[data.draw(st.sampled_from(sorted(FILES)))])
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    found = found_or_error(bytes(whole[:cut] if data.draw(st.booleans()) else whole))
    assert found is None or isinstance(found, (dict, BadInput))


STARTS = [
    b"fLaC",
    b"OggS",
    b"ID3\x04\0\0\0\0\x7f\x7f",
    b"\0\0\0\x10ftypisom\0\0\0\0",
    b"\x1a\x45\xdf\xa3",
    b"\xff\xd8\xff",
]
PIECES = st.lists(
    st.binary(max_size=8) | st.sampled_from([
        b"moov", b"udta", b"meta", b"keys", b"ilst", b"\0\0\0\x08", b"\0\0\0\1", b"TXXX", b"\x18\x53\x80\x67", b"OggS",
        b"\x12\x54\xc3\x67", b"\x73\x73", b"\x67\xc8", b"\x01\xff\xff\xff\xff\xff\xff\xff", b"\x84\0\0\x20",
        b"\xff\xe1\0\x40",
    ]),
    max_size=12,
)  # fmt: skip


@settings(max_examples=500)
@given(st.sampled_from(STARTS), PIECES)
def test_a_file_of_scraps_ends_in_a_clear_error_at_worst(start: bytes, pieces: list[bytes]) -> None:
    found = found_or_error(start + b"".join(pieces))
    assert found is None or isinstance(found, (dict, BadInput))


def found_or_error(data: bytes) -> Any:
    try:
        return carried(data)
    except BadInput as error:
        msgspec.json.encode(error.extra_info)
        return error
