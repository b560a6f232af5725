"""``comfykernel token``: the commands that the transport adds to the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner, Result

from comfykernel_api_http import commands
from comfykernel_api_http.tokens import TokenFile, matching
from comfykernel_sdk.settings import PathSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


@pytest.fixture
def token(tmp_path: Path) -> Callable[..., Result]:
    """Call ``token`` with arguments; the server's settings name the folder ``usual``."""

    def load_settings(flags: Mapping[str, object]) -> Settings:
        given: dict[str, Any] = {name.removeprefix("paths."): str(value) for name, value in flags.items()}
        return Settings(paths=PathSettings(**{"base": str(tmp_path / "usual"), **given}))

    registered: list[click.Command] = []
    commands.register_commands(registered.append, load_settings)
    (command,) = registered
    assert command.name == "token"
    return lambda *arguments: CliRunner().invoke(command, arguments)


def test_a_token_is_shown_once_listed_and_revoked(token: Callable[..., Result], tmp_path: Path) -> None:
    made = token("create", "--user", "ann", "--label", "my laptop")
    secret = made.stdout.strip()
    file = TokenFile(tmp_path / "usual/user/comfykernel")
    (kept,) = file.tokens()
    assert matching(secret, [kept]) == kept
    assert kept.id in made.stderr
    listed = token("list").stdout
    assert listed.split()[:2] == [kept.id, "ann"]
    assert listed.endswith("my laptop\n")
    assert secret not in listed
    assert token("revoke", kept.id).stdout == f"Revoked {kept.id} of user ann.\n"
    assert file.tokens() == []
    assert token("revoke", kept.id).exit_code != 0


def test_tokens_belong_to_the_state_folder(token: Callable[..., Result], tmp_path: Path) -> None:
    token("--base-directory", str(tmp_path / "other"), "create")
    token("--state-directory", str(tmp_path / "state"), "create")
    assert [len(TokenFile(tmp_path / place).tokens()) for place in ("other/user/comfykernel", "state")] == [1, 1]
    assert token("list").stdout == ""
