"""``extra_model_paths.yaml``: more directories for model folders.

Sections of any name; each may have ``base_path`` and ``is_default``, its other keys are model folders with one or more
directories, a line each::

    shared:
        base_path: /data/models
        is_default: true
        checkpoints: sd
        loras: |
            loras
            lycoris
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import yaml

from comfykernel_sdk.errors import ConfigError


class ExtraRoot(NamedTuple):
    """A directory to be searched for the models of a folder; ``first``: before the others."""

    folder: str
    path: Path
    first: bool


def read_extra_model_paths(file: str) -> list[ExtraRoot]:
    """The directories of a file, in its order.

    ``~`` and environment variables are filled in; relative directories start at ``base_path``, and that at the file.

    Raises:
        ConfigError: the file can't be read or makes no sense; names it and the section.
    """
    path = Path(os.path.expandvars(file)).expanduser().absolute()
    try:
        sections = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _wrong(path, str(error)) from error
    if sections is None:
        return []
    if not isinstance(sections, dict):
        raise _wrong(path, "It must hold named sections.")
    roots: list[ExtraRoot] = []
    for name, section in sections.items():
        if section is not None:
            roots.extend(_read_section(path, str(name), section))
    return roots


def _read_section(file: Path, name: str, section: object) -> list[ExtraRoot]:
    if not isinstance(section, dict):
        raise _wrong(file, "It must hold folder names with directories.", section=name)
    entries = dict(section)
    base = entries.pop("base_path", None)
    first = entries.pop("is_default", False)
    if not isinstance(base, str | None):
        raise _wrong(file, "base_path must be a directory.", section=name)
    if not isinstance(first, bool):
        raise _wrong(file, "is_default must be true or false.", section=name)
    start = _directory(base, file.parent) if base else file.parent
    return [
        ExtraRoot(str(folder), _directory(line, start), first)
        for folder, value in entries.items()
        for line in _lines(file, name, str(folder), value)
    ]


def _lines(file: Path, section: str, folder: str, value: object) -> list[str]:
    lines = value.split("\n") if isinstance(value, str) else value
    if lines is None:
        return []
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise _wrong(file, f"{folder} must be directories, a line each.", section=section)
    return [line.strip() for line in lines if line.strip()]


def _directory(text: str, start: Path) -> Path:
    return Path(os.path.normpath(start / Path(os.path.expandvars(text)).expanduser()))


def _wrong(file: Path, why: str, *, section: str = "") -> ConfigError:
    place = f", section {section}" if section else ""
    return ConfigError(
        f"The file of extra model paths {file}{place} is wrong.",
        details=why,
        extra_info={"setting": "paths.extra_model_paths", "file": str(file), "section": section},
    )
