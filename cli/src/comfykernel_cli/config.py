"""``comfykernel config``."""

from __future__ import annotations

import click
import msgspec

from ._options import ServerCommand, effective_settings


@click.command("config", cls=ServerCommand)
@click.option("--json", "as_json", is_flag=True, help="As JSON: dotted key, value, origin.")
@click.option("--toml", "as_toml", is_flag=True, help="As a comfykernel.toml with the values that hold.")
@click.pass_context
def command(context: click.Context, *, as_json: bool, as_toml: bool) -> None:
    """Show the settings that hold and where each came from. Takes the flags of serve."""
    effective = effective_settings(context)
    tables: dict[str, dict[str, object]] = msgspec.to_builtins(effective.settings)
    flat = {f"{table}.{key}": value for table, keys in tables.items() for key, value in keys.items()}
    if as_json:
        shown = {key: {"value": value, "origin": _origin(effective.origins, key)} for key, value in flat.items()}
        click.echo(msgspec.json.format(msgspec.json.encode(shown)))
    elif as_toml:
        click.echo(_toml(tables), nl=False)
    else:
        width = max(len(key) for key in flat)
        for key, value in flat.items():
            origin = _origin(effective.origins, key)
            click.echo(f"{key:{width}}  {_literal(value)}" + ("" if origin == "default" else f"  ({origin})"))


def _origin(origins: dict[str, str], key: str) -> str:
    """Where a key came from; for the table of a plugin, all origins of its keys."""
    below = dict.fromkeys(origin for k, origin in origins.items() if k == key or k.startswith(f"{key}."))
    return ", ".join(below) or "default"


def _toml(tables: dict[str, dict[str, object]]) -> str:
    lines: list[str] = []
    for name, table in tables.items():
        sections = {f"plugin.{n}": t for n, t in table.items()} if name == "plugin" else {name: table}
        for section, keys in sections.items():
            assert isinstance(keys, dict)
            lines += [f"[{section}]", *(f"{k} = {_literal(v)}" for k, v in keys.items() if v is not None), ""]
    return "\n".join(lines)


def _literal(value: object) -> str:
    """A value as TOML writes it: JSON, but for tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_literal(k)} = {_literal(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_literal(v) for v in value) + "]"
    return msgspec.json.encode(value).decode()
