"""From the table of flags to click options, and from what was typed to the effective settings."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Final

import click

from ._flags import ALSO_SET, FLAGS, WITHOUT_EFFECT, WITHOUT_EFFECT_WITH_VALUE, Flag, Section
from .settings import EffectiveSettings, load_settings

EVERY_SECTION: Final[tuple[Section, ...]] = ("paths", "http", "execution", "plugins", "development", "log")
NOTHING: Final = "\x00"
"""Stands for a flag's argument that was left out; can't be typed."""


class SettingsCommand(click.Command):
    """A command that takes the flags of some sections of the settings; read them with :func:`effective_settings`.

    ``tolerant`` accepts the flags that launchers of ComfyUI pass though they do nothing here.
    """

    sections: tuple[Section, ...] = EVERY_SECTION
    tolerant: bool = False

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own parameters and those of its sections."""
        own = super().get_params(ctx)
        options = [_setting_option(flag) for flag in FLAGS if flag.section in self.sections]
        ignored = [*_ignored_options()] if self.tolerant else []
        return [*own[:-1], _config_option(), *options, *ignored, *own[-1:]]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let repeatable flags take several values at once, as argparse does."""
        repeatable = {flag.name for flag in FLAGS if flag.repeat and flag.section in self.sections}
        if self.tolerant:
            repeatable |= set(WITHOUT_EFFECT_WITH_VALUE)
        return super().parse_args(ctx, _spread(args, repeatable))


class WorkflowCommand(SettingsCommand):
    """A command that runs nodes in its own process: no transport, no flags of one."""

    sections = ("paths", "execution", "plugins", "log")


class ServerCommand(SettingsCommand):
    """A command that launchers of ComfyUI may call."""

    tolerant = True


def effective_settings(context: click.Context, **more: object) -> EffectiveSettings:
    """The settings of this command: file, environment, flags and ``more`` (dotted key with ``__``, last word).

    Raises:
        ConfigError: see :func:`comfykernel_cli.settings.load_settings`.
        click.UsageError: two flags contradict each other.
    """
    flags: dict[str, object] = {}
    names: dict[str, str] = {}
    for name, values in _typed(context).items():
        for key, value in values.items():
            if flags.setdefault(key, value) != value:
                raise click.UsageError(f"{names[key]} and {name} contradict each other.", context)
            names[key] = name
    flags |= {key.replace("__", "."): value for key, value in more.items()}
    file = context.meta.get("comfykernel.file")
    return load_settings(flags, environ=os.environ, cwd=Path.cwd(), file=file, flag_names=names)


def flags_without_effect(context: click.Context) -> list[str]:
    """The accepted flags that were typed and do nothing here."""
    found: list[str] = context.meta.get("comfykernel.ignored", [])
    return found


def _typed(context: click.Context) -> dict[str, dict[str, object]]:
    typed: dict[str, dict[str, object]] = context.meta.setdefault("comfykernel.typed", {})
    return typed


def _setting_option(flag: Flag) -> click.Option:
    def record(context: click.Context, _: click.Parameter, value: object) -> None:
        if value is None or value == ():
            return
        if flag.value is not None:
            value = flag.value
        elif flag.repeat and isinstance(value, tuple):
            value = tuple(flag.prefix + part for text in value for part in text.split(",") if part)
        _typed(context)[flag.name] = {flag.key: value, **ALSO_SET.get(flag.name, {})}

    choices = flag.metavar.split("|") if "|" in flag.metavar else None
    return click.Option(
        [flag.name, _destination(flag.name)],
        help=flag.help,
        metavar=flag.metavar.replace("|", "/") or None,
        type=click.Choice(choices, case_sensitive=False) if choices else str,
        callback=record,
        expose_value=False,
        multiple=flag.repeat,
        **_argument_form(flag),
    )


def _argument_form(flag: Flag) -> dict[str, Any]:
    if flag.bare:
        return {"is_flag": False, "flag_value": flag.bare}
    return {} if flag.value is None else {"is_flag": True, "flag_value": "yes", "default": None}


def _ignored_options() -> Iterable[click.Option]:
    def record(context: click.Context, parameter: click.Parameter, value: object) -> None:
        if value not in (None, (), False):
            context.meta.setdefault("comfykernel.ignored", []).append(parameter.opts[0])

    common: dict[str, Any] = {"hidden": True, "expose_value": False, "callback": record}
    for name in WITHOUT_EFFECT:
        yield click.Option([name, _destination(name)], is_flag=True, **common)
    for name in WITHOUT_EFFECT_WITH_VALUE:
        yield click.Option(
            [name, _destination(name)], is_flag=False, flag_value=NOTHING, multiple=True, type=str, **common
        )


def _config_option() -> click.Option:
    def record(context: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            context.meta["comfykernel.file"] = Path(value)

    return click.Option(
        ["--config", "config_file"], metavar="FILE", expose_value=False, callback=record, help="Settings file."
    )


def _destination(name: str) -> str:
    return "flag_" + name.lstrip("-").replace("-", "_").lower()


def _spread(args: list[str], repeatable: Collection[str]) -> list[str]:
    """Turn ``--flag a b`` into ``--flag a --flag b``."""
    spread: list[str] = []
    current: str | None = None
    for position, arg in enumerate(args):
        if arg == "--":
            return [*spread, *args[position:]]
        if arg.startswith("-"):
            current = arg if arg in repeatable else None
        elif current is not None and args[position - 1] != current:
            spread.append(current)
        spread.append(arg)
    return spread
