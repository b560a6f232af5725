"""``comfykernel convert WORKFLOW``: a workflow of the web editor as the prompt that ``POST /prompt`` takes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from comfykernel_sdk.errors import BadInput

from ._documents import open_source, read_json, workflow_readers
from ._options import WorkflowCommand, effective_settings
from ._workflow import MAX_SEED

if TYPE_CHECKING:
    from comfykernel_sdk.nodes import NodeSpec, Replacement
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.workflows import WorkflowReader


@click.command("convert", cls=WorkflowCommand)
@click.option("--output", "-o", metavar="FILE", help="Write there instead of to standard output.")
@click.option(
    "--object-info", "described", multiple=True, metavar="FILE",
    help="What GET /object_info of another server answers, in place of the nodes here; repeatable.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0, MAX_SEED), help="Make the choices of {a|b} in texts repeatable.")
@click.option("--only-installed", is_flag=True, help="Refuse nodes that are not installed.")
@click.argument("workflow")
@click.pass_context
def command(
    context: click.Context,
    *,
    workflow: str,
    output: str | None,
    described: tuple[str, ...],
    seed: int | None,
    only_installed: bool,
) -> None:
    """Turn WORKFLOW (a file of the web editor or a picture that carries one, - for standard input) into a prompt.

    Nodes that are not installed are converted by what is known of them, and named on standard error.
    """
    settings = effective_settings(context).settings
    readers = workflow_readers(settings)
    source = open_source(workflow, readers)
    specs, replacements = ({}, []) if source.is_prompt else _nodes(settings, described, readers)
    graph, missing = source.graph(specs, replacements=replacements, seed=seed, lenient=not only_installed)
    for name in missing:
        click.echo(f"Not installed: {name}", err=True)
    text = msgspec.json.format(msgspec.json.encode(graph)) + b"\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        _write(Path(output), text)


def _nodes(
    settings: Settings, described: tuple[str, ...], readers: list[WorkflowReader]
) -> tuple[dict[str, NodeSpec], list[Replacement]]:
    if not described:
        from .nodes import known_nodes

        keeper = known_nodes(settings)
        return keeper.specs, list(keeper.replacements.values())
    specs: dict[str, NodeSpec] = {}
    for name in described:
        try:
            data = Path(name).read_bytes()
        except OSError as error:
            raise BadInput(f"Can't read {name}: {error.strerror}.") from error
        for reader in readers:
            specs |= reader.specs_of(read_json(name, data))
    return specs, []


def _write(path: Path, text: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(text)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BadInput(f"Can't write {path}: {error.strerror}.") from error
