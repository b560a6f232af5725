"""Fixtures for tests of node packs, loaded by pytest when the sdk is installed: ``run_node`` and ``run_graph``.

Light at import: every pytest run of the environment loads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .running import GraphRun, NodeRun


class RunNode:
    """Callable as :func:`comfykernel_sdk.testing.run_node`."""

    def __call__(self, node: object, /, **inputs: object) -> NodeRun:
        """Call one node with these inputs."""
        from .running import run_node

        return run_node(node, **inputs)  # type: ignore[arg-type]


class RunGraph:
    """Callable as :func:`comfykernel_sdk.testing.run_graph`."""

    def __call__(self, graph: dict[str, dict[str, object]], **options: object) -> GraphRun:
        """Run a graph with a fresh engine."""
        from .running import run_graph

        return run_graph(graph, **options)  # type: ignore[arg-type]


@pytest.fixture
def run_node() -> RunNode:
    """Calls one node: ``run_node(my_node, value=1).output``."""
    return RunNode()


@pytest.fixture
def run_graph() -> RunGraph:
    """Runs a graph: ``run_graph(graph, nodes=[my_node]).ui``."""
    return RunGraph()
