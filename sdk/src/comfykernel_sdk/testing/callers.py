"""What the pytest fixtures hand out: the functions of this package under names that a test can annotate."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..graph import Graph
    from ..jobs import Job
    from ..json_types import JsonObject
    from ..settings import Settings
    from ..storage import Storage
    from .running import GraphRun, NodeRun


class RunNode:
    """Callable as :func:`comfykernel_sdk.testing.run_node`."""

    def __call__(self, node: object, /, **inputs: object) -> NodeRun:
        """Call one node with these inputs."""
        from .running import run_node

        return run_node(node, **inputs)  # type: ignore[arg-type]


class RunGraph:
    """Callable as :func:`comfykernel_sdk.testing.run_graph`."""

    def __call__(
        self,
        graph: Mapping[str, Mapping[str, object]],
        *,
        nodes: Iterable[object] | None = None,
        outputs: Iterable[str] | None = None,
        settings: Settings | None = None,
        storage: Storage | None = None,
        extra_data: JsonObject | None = None,
    ) -> GraphRun:
        """Run a graph with a fresh engine."""
        from .running import run_graph

        return run_graph(
            cast("Graph", graph),
            nodes=nodes, outputs=outputs, settings=settings, storage=storage, extra_data=extra_data,
        )  # fmt: skip


class RunPrompt:
    """Callable as :func:`comfykernel_sdk.testing.run_prompt`."""

    def __call__(
        self,
        graph: Mapping[str, Mapping[str, object]],
        *,
        nodes: Iterable[object] | None = None,
        settings: Settings | None = None,
        storage: Storage | None = None,
        extra_data: JsonObject | None = None,
    ) -> Job:
        """Submit a prompt to a kernel in memory and wait for its end."""
        from .memory_kernel import run_prompt

        return run_prompt(cast("Graph", graph), nodes=nodes, settings=settings, storage=storage, extra_data=extra_data)
