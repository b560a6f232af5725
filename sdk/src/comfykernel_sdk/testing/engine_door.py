"""The engine as tests reach it: by the entry point group ``comfykernel.engine``, so that the sdk imports no kernel."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol, cast

from .. import scheduler
from ..errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..events import Event
    from ..jobs import Outcome
    from ..scheduler import Assignment
    from ..settings import Settings
    from ..storage import Storage

GROUP = "comfykernel.engine"


class Witness(Protocol):
    """Is shown the values that nodes give and the exception that ends a run."""

    def outputs(self, node_id: str, outputs: list[list[object]]) -> None:
        """For each output of a node the list of its values."""

    def failed(self, error: BaseException) -> None:
        """The exception of a node."""


class Engine(scheduler.Engine, Protocol):
    """The kernel's engine, which also shows what it does to a witness."""

    async def run(
        self, assignment: Assignment, emit: Callable[[Event], None], *, witness: Witness | None = None
    ) -> Outcome:
        """Run a prompt to its end."""


def make_engine(settings: Settings, *, nodes: Iterable[object] | None, storage: Storage | None) -> Engine:
    """The installed engine with these nodes (``None``: all installed ones).

    Raises:
        PluginError: no engine is installed.
    """
    found = entry_points(group=GROUP)
    if not found:
        raise PluginError("No engine is installed.", hint="Install the distribution comfykernel-kernel.")
    create = cast("Callable[..., Engine]", next(iter(found)).load())
    return create(settings, nodes=nodes, storage=storage)
