"""A job under a worker, and what the worker has said of it so far."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from comfykernel_sdk.events import Event, ExecutionInterrupted, NodePlace, NodeProgress, NodeStarted
from comfykernel_sdk.outcomes import Account

if TYPE_CHECKING:
    from comfykernel_sdk.jobs import Outcome
    from comfykernel_sdk.scheduler import Assignment


class RunningJob:
    """Follows the events of a job, so that its end can be told when the worker no longer can.

    Attributes:
        ended: its outcome as the worker tells it, ``None`` when the worker is gone.
        interrupted: whether somebody asked for its end.
        grace: kills the worker when the job goes on in spite of that.
    """

    def __init__(self, assignment: Assignment) -> None:
        self.prompt_id = assignment.prompt_id
        self.ended: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        self.interrupted = False
        self.grace: asyncio.TimerHandle | None = None
        self._graph = assignment.graph
        self._running: dict[str, NodePlace] = {}
        self._executed: dict[str, None] = {}
        self._account = Account()

    def hear(self, event: Event) -> None:
        """Take note of an event of this job."""
        match event:
            case NodeProgress(place=place, state="running") | NodeStarted(place=place):
                self._running.pop(place.node_id, None)
                self._running[place.node_id] = place
            case NodeProgress(place=place):
                # A node that was reused is finished without having run.
                if self._running.pop(place.node_id, None) is not None and event.state == "finished":
                    self._executed[place.node_id] = None
            case _:
                self._account.note(event)

    def end(self, outcome: Outcome | None) -> None:
        """The worker told the outcome, or is gone (``None``); only the first call counts."""
        if self.grace is not None:
            self.grace.cancel()
        if not self.ended.done():
            self.ended.set_result(outcome)

    def current_node(self) -> tuple[str, str]:
        """Id and class of the node last seen running, as the submitted graph names it; empty when none was."""
        if not self._running:
            return "", ""
        place = next(reversed(self._running.values()))
        node_id = place.node_id if place.node_id in self._graph else place.real()
        return node_id, str(self._graph.get(node_id, {}).get("class_type", ""))

    def cut_off(self) -> tuple[ExecutionInterrupted, Outcome]:
        """The end of a cancelled job whose worker can't tell it any more."""
        node_id, node_type = self.current_node()
        event = ExecutionInterrupted(
            prompt_id=self.prompt_id, node_id=node_id, node_type=node_type, executed=list(self._executed)
        )
        self._account.note(event)
        return event, self._account.outcome("cancelled", reason="The job was cancelled and its worker ended with it.")
