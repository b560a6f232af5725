"""Pictures for templates whose preview is not installed: a tone of their own and a sign of what they make."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from .template_files import DRAWN, kinds

SIGNS: Final = {
    "image": '<rect x="-70" y="-56" width="140" height="112" rx="12"/><circle cx="-30" cy="-18" r="13"/>'
    '<path d="M-66 44l46-42 30 28 24-22 32 36"/>',
    "video": '<rect x="-76" y="-50" width="152" height="100" rx="12"/><path d="M-18 -26l44 26-44 26z"/>',
    "audio": '<path d="M-70 -14v28M-42 -38v76M-14 -20v40M14 -58v116M42 -30v60M70 -12v24"/>',
    "3d": '<path d="M0 -70l62 34v72l-62 34-62-34v-72zM0 0l62-36M0 0l-62-36M0 0v70"/>',
    "llm": '<path d="M-64 -48h128v80h-72l-32 30v-30h-24z"/><path d="M-36 -20h72M-36 6h44"/>',
}
"""Lines in a square of 160 around the middle, by what a template makes."""

_NAME: Final = re.compile(rf"(?P<template>[^/]+)-[1-9]\.{DRAWN}")


def drawn_preview(path: str) -> tuple[bytes, str] | None:
    """The picture ``NAME-1.svg`` of a template with its content type; nothing for other names."""
    match = _NAME.fullmatch(path)
    kind = None if match is None else kinds().get(match["template"])
    if match is None or kind is None:
        return None
    # Two templates of one kind differ in tone, and keep it.
    hue = hashlib.blake2b(match["template"].encode(), digest_size=2).digest()[0] * 360 // 256
    picture = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 512 512">'
        '<linearGradient id="tone" x2="1" y2="1">'
        f'<stop stop-color="hsl({hue} 32% 34%)"/><stop offset="1" stop-color="hsl({(hue + 40) % 360} 38% 18%)"/>'
        '</linearGradient><path fill="url(#tone)" d="M0 0h512v512H0z"/>'
        '<g transform="translate(256 256)" fill="none" stroke="#fff" stroke-opacity=".55" stroke-width="9" '
        f'stroke-linecap="round" stroke-linejoin="round">{SIGNS.get(kind, SIGNS["image"])}</g></svg>'
    )
    return picture.encode(), "image/svg+xml"
