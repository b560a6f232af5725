"""The command ``comfykernel`` with its sub-commands, each imported when it is called."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

import click

from comfykernel import __version__
from comfykernel.near_miss import did_you_mean
from comfykernel_sdk.errors import ComfykernelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from comfykernel_sdk.settings import Settings

COMMANDS: Final = ("serve", "run", "convert", "plugins", "nodes", "config")
EXIT_BAD_INPUT: Final = 2


class Refused(click.ClickException):
    """One of our own errors, shown without a traceback."""

    exit_code = EXIT_BAD_INPUT


class RootGroup(click.Group):
    """Own commands by name, those of plugins after them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Own commands in the order in which a new user meets them, then those of plugins."""
        try:
            return [*COMMANDS, *sorted(self._of_plugins(ctx))]
        except ComfykernelError as error:  # a wrong setting must not keep anybody from the help
            click.echo(f"Commands of plugins are not known: {error}", err=True)
            return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or ``None``."""
        if cmd_name in COMMANDS:
            command: click.Command = importlib.import_module(f".{cmd_name}", __package__).command
            return command
        return self._of_plugins(ctx).get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the near miss of an unknown command."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            hint = did_you_mean(args[0], self.list_commands(ctx))
            raise click.UsageError(f"There is no command {args[0]!r}. {hint}".rstrip(), ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Show our own errors as one message instead of a traceback."""
        try:
            return super().invoke(ctx)
        except ComfykernelError as error:
            raise Refused(str(error)) from error

    def _of_plugins(self, ctx: click.Context) -> dict[str, click.Command]:
        found: dict[str, click.Command] | None = ctx.meta.get("comfykernel.commands")
        if found is None:
            found = ctx.meta["comfykernel.commands"] = _commands_of_plugins()
        return found


def _commands_of_plugins() -> dict[str, click.Command]:
    from comfykernel.plugin_host import PluginHost

    commands: dict[str, click.Command] = {}
    host = PluginHost(_load_settings({}), side="cli")
    host.load()

    def register(command: click.Command) -> None:
        if not command.name or command.name in COMMANDS or command.name in commands:
            raise ValueError(f"The name {command.name!r} of a command is taken.")
        commands[command.name] = command

    host.hook.register_commands(register=register, load_settings=_load_settings)
    return commands


def _load_settings(flags: Mapping[str, object]) -> Settings:
    """The settings that a server with these flags would have."""
    import os
    from pathlib import Path

    from .settings import load_settings

    return load_settings(flags, environ=os.environ, cwd=Path.cwd()).settings


@click.group(cls=RootGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="comfykernel")
def main() -> None:
    """A plugin-oriented microkernel that speaks the ComfyUI API."""
