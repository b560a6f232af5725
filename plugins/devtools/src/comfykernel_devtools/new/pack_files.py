"""From templates to the files of a pack: all of them, or none."""

from __future__ import annotations

import datetime
import json
import string
import tempfile
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from comfykernel_sdk.errors import BadInput, Conflict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

    from .pack_names import PackNames

LICENSES: Final = {"apache-2.0": "Apache-2.0", "mit": "MIT", "bsd-3-clause": "BSD-3-Clause", "none": ""}
"""What can be chosen -> its SPDX expression."""
SUFFIX: Final = ".template"
"""Of template files, so that no tool takes them for what they are going to be."""


def write_pack(folder: Path, names: PackNames, *, license: str, author: str) -> list[Path]:
    """Make ``folder`` with a pack in it; returns its files, relative to it.

    Raises:
        Conflict: something is there already.
        BadInput: the folder can't be made.
    """
    if folder.exists() or folder.is_symlink():
        raise Conflict(f"{folder} is there already.", details="Nothing was changed.", type="folder_taken")
    rendered = dict(render_pack(names, license=license, author=author))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as made:
            half = Path(made) / "pack"
            for path, text in rendered.items():
                (half / path).parent.mkdir(parents=True, exist_ok=True)
                (half / path).write_text(text, encoding="utf-8")
            half.rename(folder)
    except OSError as error:
        raise BadInput(f"{folder} can't be made: {error.strerror}.", type="folder_not_writable") from error
    return sorted(rendered)


def render_pack(names: PackNames, *, license: str, author: str) -> Iterator[tuple[Path, str]]:
    """Path and text of every file."""
    values = {
        **{field: getattr(names, field) for field in names.__struct_fields__},
        "sdk_version": ".".join(version("comfykernel-sdk").split(".")[:2]),
        "license_line": f'\nlicense = "{LICENSES[license]}"\nlicense-files = ["LICENSE"]' if license != "none" else "",
        "author": author or f"the authors of {names.distribution}",
        "authors_line": f"\nauthors = [{{ name = {json.dumps(author, ensure_ascii=False)} }}]" if author else "",
        "year": str(datetime.datetime.now(tz=datetime.UTC).year),
    }
    templates = files(__package__) / "templates"
    for path, text in _templates(templates / "nodes"):
        target = Path(*(string.Template(part).substitute(values) for part in path.parts))
        yield target, string.Template(text).substitute(values)
    if license != "none":
        text = (templates / "licenses" / f"{license}{SUFFIX}").read_text(encoding="utf-8")
        yield Path("LICENSE"), string.Template(text).substitute(values)


def _templates(folder: Traversable, place: Path = Path()) -> Iterator[tuple[Path, str]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _templates(each, place / each.name)
        elif each.name.endswith(SUFFIX):
            yield place / each.name.removesuffix(SUFFIX), each.read_text(encoding="utf-8")
