"""The engine as tests reach it: by the entry point group ``comfykernel.engine``, so that the sdk imports no kernel."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from ..errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..scheduler import Engine
    from ..settings import Settings
    from ..storage import Storage

GROUP = "comfykernel.engine"


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
