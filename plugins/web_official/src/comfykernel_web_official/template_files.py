"""The published workflow templates: their folders, and lists of them that name only pictures that are there."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from comfykernel_sdk.json_types import Json, JsonObject

from .published import templates_folder

MEDIA_PACKAGES: Final = "comfyui_workflow_templates_media_*/templates"
"""Folders of preview pictures, videos and sounds; each package has those of some templates."""
LOGOS: Final = "index_logo.json"
NOT_LISTS: Final = ("index.schema.json", LOGOS)
DRAWN: Final = "svg"
"""Ending of the pictures that this plugin draws in place of those that are not installed."""


@cache
def template_folders() -> tuple[Path, ...]:
    """The folder of templates first, then those of previews; none when no templates are installed."""
    first = templates_folder()
    if first is None:
        return ()
    media = (folder for place in sys.path for folder in sorted(Path(place or ".").glob(MEDIA_PACKAGES)))
    return (first, *(folder for folder in media if folder.is_dir()))


def template_lists() -> list[str]:
    """Names of the lists of templates, one for each language; and of the list of logos."""
    folders = template_folders()
    if not folders:
        return []
    return sorted(path.name for path in folders[0].glob("index*.json") if path.name != "index.schema.json")


def template_list(name: str) -> Json:
    """A list as the page gets it: a preview that is not installed is a drawn one, a logo that is not there is left
    out."""
    content: Json = msgspec.json.decode((template_folders()[0] / name).read_bytes())
    if name == LOGOS and isinstance(content, dict):
        return {provider: path for provider, path in content.items() if _is_there(str(path))}
    for category in content if isinstance(content, list) else []:
        for template in _templates(category):
            if not _is_there(f"{template.get('name')}-1.{template.get('mediaSubtype')}"):
                template.update(mediaType="image", mediaSubtype=DRAWN)
                template.pop("thumbnailVariant", None)
    return content


@cache
def kinds() -> dict[str, str]:
    """What each template makes (``image``, ``video``, ``audio``, ``3d``, ...), by its name."""
    found: dict[str, str] = {}
    content: Json = msgspec.json.decode((template_folders()[0] / "index.json").read_bytes())
    for category in content if isinstance(content, list) else []:
        for template in _templates(category):
            kind = category.get("type") if isinstance(category, dict) else None
            found.setdefault(str(template.get("name")), str(kind or "image"))
    return found


def _templates(category: Json) -> list[JsonObject]:
    templates = category.get("templates") if isinstance(category, dict) else None
    return [each for each in templates if isinstance(each, dict)] if isinstance(templates, list) else []


def _is_there(path: str) -> bool:
    return any((folder / path).is_file() for folder in template_folders())
