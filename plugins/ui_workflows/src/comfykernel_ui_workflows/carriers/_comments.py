"""Vorbis comments (``prompt=JSON``) in FLAC and Ogg, and the texts of ID3 tags in MP3."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO, Final

from ._reading import LARGEST_TEXT, MOST_PARTS, WANTED, Texts, as_text, named_text, read_exactly, read_number

FLAC_COMMENT: Final = 4
OGG_COMMENTS: Final = (b"\x03vorbis", b"OpusTags")
ID3_ENCODINGS: Final = ("latin-1", "utf-16", "utf-16-be", "utf-8")


def read_flac(file: BinaryIO) -> Texts:
    """The comments of a FLAC file (RFC 9639, section 8.6)."""
    file.seek(4)
    for _ in range(MOST_PARTS):
        kind, size = read_number(file, 1), read_number(file, 3)
        if kind & 0x7F == FLAC_COMMENT:
            yield from _comments(io.BytesIO(read_exactly(file, size)))
        else:
            file.seek(size, 1)
        if kind & 0x80:
            return


def read_ogg(file: BinaryIO) -> Texts:
    """The comments of the first streams of an Ogg file, Vorbis or Opus (RFC 3533, RFC 7845)."""
    for packet in _header_packets(file):
        for start in OGG_COMMENTS:
            if packet.startswith(start):
                yield from _comments(io.BytesIO(packet[len(start) :]))
                return


def _header_packets(file: BinaryIO) -> Iterator[bytes]:
    """The packets of all streams in the order in which they end; pages are 64 KiB at most."""
    file.seek(0)
    open_packets: dict[bytes, bytearray] = {}
    for _ in range(MOST_PARTS):
        header = read_exactly(file, 27)
        if header[:4] != b"OggS":
            return
        packet = open_packets.setdefault(header[14:18], bytearray())
        for size in read_exactly(file, header[26]):
            packet += read_exactly(file, size)
            if len(packet) > LARGEST_TEXT:
                return
            if size < 255:
                yield bytes(packet)
                packet.clear()


def _comments(data: BinaryIO) -> Texts:
    data.seek(read_number(data, 4, little=True), 1)
    for _ in range(min(read_number(data, 4, little=True), MOST_PARTS)):
        name, text = named_text(as_text(read_exactly(data, read_number(data, 4, little=True))))
        if name:
            yield name, text


def read_mp3(file: BinaryIO) -> Texts:
    """The user texts (TXXX) of an ID3v2.3 or 2.4 tag (id3.org, 4.2.6)."""
    file.seek(3)
    version, _, flags, size = *read_exactly(file, 3), _seven_bits(read_exactly(file, 4))
    if version not in (3, 4) or flags & 0x40:  # an extended header; nobody writes one
        return
    end = file.tell() + size
    for _ in range(MOST_PARTS):
        if file.tell() + 10 > end:
            return
        kind, raw = read_exactly(file, 4), read_exactly(file, 4)
        file.seek(2, 1)
        length = _seven_bits(raw) if version == 4 else int.from_bytes(raw, "big")
        if kind == b"TXXX":
            yield from _user_text(read_exactly(file, length))
        elif kind.strip(b"\0"):
            file.seek(length, 1)
        else:
            return


def _user_text(data: bytes) -> Texts:
    encoding = ID3_ENCODINGS[data[0]] if data and data[0] < len(ID3_ENCODINGS) else "latin-1"
    name, _, text = data[1:].decode(encoding, errors="replace").partition("\0")
    if name.lower() in WANTED:
        yield name.lower(), text.strip("\0\ufeff")


def _seven_bits(raw: bytes) -> int:
    return sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(reversed(raw)))
