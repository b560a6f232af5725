"""What a person sees while a workflow runs: nodes done, and the steps of the node that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from comfykernel_sdk import events as ev

if TYPE_CHECKING:
    from types import TracebackType

    from comfykernel_sdk.graph import Graph


class RunProgress:
    """Two bars on standard error, fed with the events of one job. Without a terminal nothing is drawn."""

    def __init__(self, graph: Graph) -> None:
        # Imported here: drawing is needed by this command only and takes longer to import than the rest.
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description:32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        console = Console(stderr=True)
        self._bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._graph = graph
        self._nodes = self._bars.add_task("nodes", total=len(graph))
        self._steps = self._bars.add_task("steps", total=None, visible=False)
        self._done: set[str] = set()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, type: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._bars.stop()

    def show(self, event: ev.Event) -> None:
        """Take up an event; may be called from any thread."""
        match event:
            case ev.ExecutionCached():
                self._finish(*event.nodes)
            case ev.NodeStarted():
                self._bars.update(self._nodes, description=self._title(event.place.real()))
                self._bars.update(self._steps, visible=False)
            case ev.NodeProgress(state="finished"):
                self._finish(event.place.real())
            case ev.NodeProgress(announce="progress"):
                title = f"  {self._title(event.place.real())}"
                self._bars.update(
                    self._steps, description=title, completed=event.value, total=event.max, visible=event.max > 1
                )

    def _finish(self, *ids: str) -> None:
        self._done.update(id for id in ids if id in self._graph)
        self._bars.update(self._nodes, completed=len(self._done))

    def _title(self, id: str) -> str:
        return str(self._graph.get(id, {}).get("class_type", id))
