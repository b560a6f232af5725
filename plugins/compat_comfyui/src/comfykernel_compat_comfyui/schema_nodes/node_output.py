"""What ``execute`` of a node gives back."""

from __future__ import annotations

from collections.abc import Mapping


class _UIOutput:
    """Something to show, as data for the page; packs derive their own."""

    def as_dict(self) -> dict[str, object]:
        """The data."""
        raise NotImplementedError


class NodeOutput:
    """Values for the outputs, and perhaps something to show, a graph to run instead, or a reason to stop.

    ``expand`` is the graph of a :class:`GraphBuilder`; ``block_execution`` a message: nodes that would use the outputs
    fail with it.
    """

    def __init__(
        self,
        *args: object,
        ui: _UIOutput | Mapping[str, object] | None = None,
        expand: Mapping[str, object] | None = None,
        block_execution: str | None = None,
    ) -> None:
        self.args = args
        self.ui = ui
        self.expand = expand
        self.block_execution = block_execution

    @property
    def result(self) -> tuple[object, ...] | None:
        """The values, ``None`` when there are none."""
        return self.args or None

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> NodeOutput:
        """From the form ``{"result": ..., "ui": ..., "expand": ...}``."""
        result = data.get("result")
        args = result if isinstance(result, (tuple, list)) else () if result is None else (result,)
        block = result if isinstance(result, str) and "block_execution" in data else data.get("block_execution")
        ui, expand = data.get("ui"), data.get("expand")
        return cls(*args, ui=ui, expand=expand, block_execution=block)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> object:
        return self.args[index]

    def shown(self) -> Mapping[str, object] | None:
        """The data for the page."""
        return self.ui.as_dict() if isinstance(self.ui, _UIOutput) else self.ui
