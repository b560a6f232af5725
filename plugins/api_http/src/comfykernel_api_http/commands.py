"""Commands of the HTTP transport: ``comfykernel token create``, ``list`` and ``revoke``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from comfykernel_sdk.hooks import hookimpl

if TYPE_CHECKING:
    from comfykernel_sdk.hooks import LoadSettings, RegisterCommand

    from .tokens import TokenFile

DEFAULT_USER: Final = "default"


@hookimpl
def register_commands(register: RegisterCommand, load_settings: LoadSettings) -> None:
    """Give ``token``; its libraries are imported when it is called."""
    register(_token_group(load_settings))


def _token_group(load_settings: LoadSettings) -> click.Group:
    @click.group("token")
    @click.option("--base-directory", metavar="DIR", help="Base folder of the server.")
    @click.option("--state-directory", metavar="DIR", help="State folder of the server.")
    @click.pass_context
    def token(context: click.Context, /, **given: str | None) -> None:
        """Make and revoke tokens. As soon as there is one, the server asks every caller for a token.

        Takes the settings file and the environment as serve does; tokens belong to the state folder.
        """
        from .tokens import TokenFile

        flags = {"paths." + name.removesuffix("_directory"): value for name, value in given.items() if value}
        context.obj = TokenFile(load_settings(flags).paths.folder("state"))

    for command in (_create, _list, _revoke):
        token.add_command(command)
    return token


@click.command("create")
@click.option("--user", default=DEFAULT_USER, metavar="NAME", help="Whom its bearer is, in a server of several users.")
@click.option("--label", default="", metavar="TEXT", help="What it is for.")
@click.pass_obj
def _create(file: TokenFile, *, user: str, label: str) -> None:
    """Make a token and show it, this once."""
    secret, token = file.create(user=user, label=label)
    click.echo(secret)
    click.echo(f"Token {token.id} of user {user}, kept as a hash in {file.path}. It is not shown again.", err=True)
    click.echo("Send it as: Authorization: Bearer TOKEN; in a browser open http://HOST:PORT/?token=TOKEN", err=True)


@click.command("list")
@click.pass_obj
def _list(file: TokenFile) -> None:
    """Show the tokens: id, user, time, label."""
    for token in file.tokens():
        created = datetime.fromtimestamp(token.created, UTC)
        click.echo(f"{token.id}  {token.user}  {created:%Y-%m-%d %H:%M} UTC  {token.label}".rstrip())


@click.command("revoke")
@click.argument("id")
@click.pass_obj
def _revoke(file: TokenFile, *, id: str) -> None:
    """Take back the token with this ID or label; a running server refuses it within a second."""
    token = file.revoke(id)
    click.echo(f"Revoked {token.id} of user {token.user}.")
