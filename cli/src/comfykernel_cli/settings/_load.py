"""``comfykernel.toml`` < environment < flags, merged into one typed struct."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from comfykernel_sdk.errors import ConfigError
from comfykernel_sdk.settings import Settings

from ._schema import PLUGIN_TABLE, check_key, convert, setting_keys

FILE_NAME: Final = "comfykernel.toml"
ENVIRONMENT_PREFIX: Final = "COMFYKERNEL_"
FILE_VARIABLE: Final = "COMFYKERNEL_CONFIG"
BASE_KEY: Final = "paths.base"


class EffectiveSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that hold and where each came from.

    ``origins`` has an entry for every dotted key: ``default``, ``file PATH``, ``environment NAME`` or ``flag --NAME``.
    """

    settings: Settings
    origins: dict[str, str]
    file: str = ""
    """The file that was read, empty without one."""


def load_settings(
    flags: Mapping[str, object],
    *,
    environ: Mapping[str, str],
    cwd: Path,
    file: Path | None = None,
    flag_names: Mapping[str, str] | None = None,
) -> EffectiveSettings:
    """Merge all sources; later ones win: defaults, file, environment, flags.

    Args:
        flags: dotted key (``http.port``) -> value.
        environ: the process environment; ``COMFYKERNEL_HTTP__PORT`` sets ``http.port``, lists are separated by commas.
        cwd: where relative paths start and where the file is looked for after the base directory.
        file: the settings file; ``None``: ``COMFYKERNEL_CONFIG``, else ``comfykernel.toml`` where there is one.
        flag_names: dotted key -> flag as it was typed, for messages.

    Raises:
        ConfigError: an unknown key, a value of a wrong type, a file that can't be read.
    """
    names = flag_names or {}
    values: dict[str, object] = {}
    origins = dict.fromkeys(setting_keys(), "default")
    path = _find_file(flags, environ, cwd, file)
    sources = [_file_values(path)] if path else []
    for source in (*sources, _environment_values(environ), _flag_values(flags, names)):
        for key, value, origin in source:
            values[key], origins[key] = value, origin
    settings = msgspec.convert(_nested(values), Settings)
    _make_absolute(settings, cwd)
    return EffectiveSettings(settings=settings, origins=origins, file=str(path) if path else "")


def _find_file(flags: Mapping[str, object], environ: Mapping[str, str], cwd: Path, file: Path | None) -> Path | None:
    chosen = file or (Path(environ[FILE_VARIABLE]) if environ.get(FILE_VARIABLE) else None)
    if chosen is not None:
        path = cwd / chosen.expanduser()
        if not path.is_file():
            raise ConfigError(f"There is no settings file {path}.", extra_info={"file": str(path)})
        return path
    base = flags.get(BASE_KEY) or environ.get("COMFYKERNEL_PATHS__BASE") or "."
    candidates = (cwd / Path(str(base)).expanduser() / FILE_NAME, cwd / FILE_NAME)
    return next((path for path in candidates if path.is_file()), None)


def _file_values(path: Path) -> Iterator[tuple[str, object, str]]:
    origin = f"file {path}"
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"Can't read {path}: {error}.", extra_info={"file": str(path)}) from error
    for key, value in _flat(tables):
        check_key(key, origin)
        yield key, convert(key, value, origin), origin


def _flat(table: Mapping[str, object], prefix: str = "", depth: int = 1) -> Iterator[tuple[str, object]]:
    """Dotted keys with their values: two levels, three below ``plugin``; deeper tables are values."""
    for name, value in table.items():
        key = f"{prefix}{name}"
        levels = 3 if key.partition(".")[0] == PLUGIN_TABLE else 2
        if isinstance(value, dict) and depth < levels:
            yield from _flat(value, f"{key}.", depth + 1)
        else:
            yield key, value


def _environment_values(environ: Mapping[str, str]) -> Iterator[tuple[str, object, str]]:
    for name, text in sorted(environ.items()):
        rest = name.removeprefix(ENVIRONMENT_PREFIX)
        if rest == name or "__" not in rest:
            continue
        key, origin = rest.lower().replace("__", "."), f"environment {name}"
        check_key(key, origin)
        yield key, convert(key, text, origin, from_text=True), origin


def _flag_values(flags: Mapping[str, object], names: Mapping[str, str]) -> Iterator[tuple[str, object, str]]:
    for key, value in flags.items():
        origin = f"flag {names.get(key, '--' + key)}"
        check_key(key, origin)
        yield key, convert(key, value, origin, from_text=True), origin


def _nested(values: Mapping[str, object]) -> dict[str, object]:
    root: dict[str, object] = {}
    for key, value in values.items():
        *tables, name = key.split(".", 2 if key.startswith(f"{PLUGIN_TABLE}.") else 1)
        table = root
        for part in tables:
            table = table.setdefault(part, {})  # type: ignore[assignment]
        table[name] = value
    return root


def _make_absolute(settings: Settings, cwd: Path) -> None:
    """Anchor relative paths, so that a worker with another current folder sees the same files."""
    paths = settings.paths
    for name in ("base", "models", "input", "output", "temp", "user", "state"):
        if value := getattr(paths, name):
            setattr(paths, name, str((cwd / Path(value).expanduser()).resolve()))
    paths.extra_model_paths = tuple(str((cwd / Path(p).expanduser()).resolve()) for p in paths.extra_model_paths)
