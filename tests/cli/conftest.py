"""An installed node pack without heavy libraries, and the command line in a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click.testing
import pytest

from comfykernel_cli import main

PACK = '''
import signal
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.hooks import hookimpl
from comfykernel_sdk.nodes import NodePack, Result, node
from comfykernel_sdk.storage import FileRef
from typing import Annotated
from comfykernel_sdk.sockets import Choice, Int


@node("Say", category="words", display_name="Say Something")
def say(
    text: str, seed: Annotated[int, Int(default=0, min=0, max=99)], tone: Annotated[str, Choice("calm", "loud")]
) -> str:
    """Make a text of words.

    Further lines are for readers of the source.
    """
    return f"{text} {seed} {tone}"


@node("Write", category="words", output_node=True)
def write(context: NodeContext, text: str, kind: Annotated[str, Choice("output", "temp")] = "output") -> Result[None]:
    place = context.files.numbered("words", kind)
    context.progress(1, 2)
    ref = context.files.write(place.ref(".txt"), text.encode())
    file = {"filename": ref.filename, "subfolder": ref.subfolder, "type": ref.type}
    return Result(ui={"files": [file], "length": [len(text)]})


@node("Fall", category="words", output_node=True)
def fall(text: str) -> Result[None]:
    raise ValueError(f"fell over {text}")


@node("Interrupt", category="words", output_node=True)
def interrupt(context: NodeContext) -> Result[None]:
    signal.raise_signal(signal.SIGINT)
    context.check_cancelled()
    raise AssertionError("it goes on")


@hookimpl
def register_nodes(register):
    register(NodePack("words", [say, write, fall, interrupt]))
'''
COMMANDS = '''
import click
from comfykernel_sdk.hooks import hookimpl


@click.command("shout")
@click.argument("word")
def shout(word):
    """Say a word loudly."""
    click.echo(word.upper())


@hookimpl
def register_commands(register):
    register(shout)
'''
GRAPH = {
    "1": {"class_type": "Say", "inputs": {"text": "hello", "seed": 1, "tone": "calm"}, "_meta": {"title": "Greeting"}},
    "2": {"class_type": "Write", "inputs": {"text": ["1", 0]}},
}

Invoke = Callable[..., click.testing.Result]


@pytest.fixture
def invoke(install_plugin: Callable[[str, str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Call ``comfykernel`` with arguments, in an empty folder; one node pack and one command are installed."""
    install_plugin("words_plugin", "comfykernel.nodes", PACK)
    install_plugin("shout_plugin", "comfykernel.plugins", COMMANDS)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)

    def call(*arguments: str, input: str | bytes | None = None) -> click.testing.Result:
        return click.testing.CliRunner().invoke(main, arguments, input=input)

    return call


@pytest.fixture
def workflow(tmp_path: Path) -> str:
    """Path of a workflow that writes a text."""
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps(GRAPH))
    return str(path)
