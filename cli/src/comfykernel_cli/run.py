"""``comfykernel run WORKFLOW``: one workflow in this process, without a server."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

from comfykernel_sdk.errors import InvalidPrompt

from ._documents import open_source, workflow_readers
from ._options import WorkflowCommand, effective_settings
from ._workflow import MAX_SEED, set_input, set_seed

if TYPE_CHECKING:
    from comfykernel.catalog import CatalogKeeper
    from comfykernel.engine import Engine
    from comfykernel_sdk.events import Event, ExecutionFailed
    from comfykernel_sdk.graph import Graph
    from comfykernel_sdk.jobs import Outcome
    from comfykernel_sdk.json_types import Json, JsonObject

EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130


class ResultFile(msgspec.Struct, frozen=True):
    """A file that a node wrote. ``size`` in bytes."""

    path: str
    size: int
    node: str
    temporary: bool


@click.command("run", cls=WorkflowCommand)
@click.option("--set", "changes", multiple=True, metavar="NODE.INPUT=VALUE", help="Change an input; repeatable.")
@click.option("--seed", type=click.IntRange(0, MAX_SEED), help="Give every node with a seed this one.")
@click.option("--output", metavar="DIR", help="Folder of results.")
@click.option("--json", "as_json", is_flag=True, help="Tell the results as JSON.")
@click.argument("workflow")
@click.pass_context
def command(
    context: click.Context,
    *,
    workflow: str,
    changes: tuple[str, ...],
    seed: int | None,
    output: str | None,
    as_json: bool,
) -> None:
    """Run WORKFLOW and write its results.

    WORKFLOW is a file in API format, one of the web editor, or a picture that carries one; - is standard input.

    The files that were written are listed on standard output. Exits with 1 when a node fails or the workflow can't
    run, with 130 when interrupted.
    """
    more = {"paths__output": output} if output is not None else {}
    settings = effective_settings(context, **more).settings
    source = open_source(workflow, workflow_readers(settings))
    from ._engine import catalog_of, start_engine
    from ._logging import set_up_logging

    set_up_logging(settings.log)
    engine = start_engine(settings)
    keeper = catalog_of(engine)
    try:
        graph, _ = source.graph(keeper.specs, replacements=keeper.replacements.values(), seed=seed)
        for change in changes:
            set_input(graph, change, keeper.specs)
        if seed is not None:
            set_seed(graph, seed)
        outcome, failure = asyncio.run(_run(engine, keeper, graph, source.document))
    except InvalidPrompt as error:
        _tell_invalid(error)
        context.exit(EXIT_FAILED)
    files = list(_files(engine, outcome))
    if as_json:
        click.echo(msgspec.json.encode({"status": outcome.status, "files": files, "outputs": outcome.outputs}))
    else:
        for file in files:
            click.echo(f"{file.path}  ({_size(file.size)}{', temporary' if file.temporary else ''})")
    if outcome.status != "done":
        click.echo(_failure_text(outcome, failure), err=True)
        context.exit(EXIT_INTERRUPTED if outcome.status == "cancelled" else EXIT_FAILED)


async def _run(
    engine: Engine, keeper: CatalogKeeper, graph: Graph, document: JsonObject | None
) -> tuple[Outcome, ExecutionFailed | None]:
    """Validate and run; returns how it ended and the event of the node that failed."""
    from comfykernel_sdk.events import ExecutionFailed
    from comfykernel_sdk.scheduler import Assignment

    from ._engine import validate
    from ._progress import RunProgress

    validated = await validate(engine, keeper, graph)
    for line in _node_error_lines(validated.node_errors):
        click.echo(f"Left out: {line}", err=True)
    prompt_id = str(uuid.uuid4())
    failures: list[ExecutionFailed] = []
    with RunProgress(graph) as progress:

        def emit(event: Event) -> None:
            if isinstance(event, ExecutionFailed):
                failures.append(event)
            progress.show(event)

        extra: JsonObject = {} if document is None else {"extra_pnginfo": {"workflow": document}}
        job = Assignment(
            prompt_id=prompt_id, graph=validated.graph, outputs_to_execute=validated.outputs, extra_data=extra
        )
        with _interruptible(engine, prompt_id):
            outcome = await engine.run(job, emit)
    return outcome, failures[-1] if failures else None


@contextlib.contextmanager
def _interruptible(engine: Engine, prompt_id: str) -> Iterator[None]:
    """Let an interrupt stop the prompt, and a second one the process."""

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        engine.interrupt(prompt_id)

    # Not a handler of the event loop, which stands still while a node computes.
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _files(engine: Engine, outcome: Outcome) -> list[ResultFile]:
    """The files that the outputs name, in the order of the outputs."""
    from comfykernel_sdk.storage import FileRef

    found: dict[FileRef, ResultFile] = {}
    for id, shown in outcome.outputs.items():
        for values in shown.values():
            for value in values if isinstance(values, list) else ():
                try:
                    ref = msgspec.convert(value, FileRef)
                except msgspec.ValidationError:
                    continue  # a text or a number that the node shows
                path = engine.storage.files.local_path(ref)
                found[ref] = ResultFile(_shown_path(path), path.stat().st_size, id, ref.type == "temp")
    return list(found.values())


def _shown_path(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _size(size: int) -> str:
    return f"{size / 1024:.1f} KiB" if size < 1024 * 1024 else f"{size / 1024 / 1024:.1f} MiB"


def _failure_text(outcome: Outcome, failure: ExecutionFailed | None) -> str:
    if outcome.status == "cancelled":
        return "Interrupted."
    if failure is None:
        return f"Failed: {outcome.reason or 'the engine gave no reason'}"
    trace = "".join(failure.traceback).rstrip()
    return (
        f"{trace}\nNode {failure.node_id} ({failure.node_type}) failed:"
        f" {failure.exception_type}: {failure.exception_message.strip()}"
    )


def _tell_invalid(error: InvalidPrompt) -> None:
    lines = _node_error_lines(error.node_errors)
    about = " ".join(part for part in (error.message, error.details if not lines else "", error.hint) if part)
    click.echo("\n".join([about, *(f"  {line}" for line in lines)]), err=True)


def _node_error_lines(node_errors: dict[str, Json]) -> list[str]:
    """One line for each error of each node."""
    lines: list[str] = []
    for id, entry in node_errors.items():
        if isinstance(entry, dict) and isinstance(errors := entry.get("errors"), list):
            name = f"Node {id} ({entry.get('class_type')})"
            lines += [f"{name}: {e.get('message')}: {e.get('details')}" for e in errors if isinstance(e, dict)]
    return lines
