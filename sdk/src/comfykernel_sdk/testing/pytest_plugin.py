"""Fixtures for tests of node packs, loaded by pytest when the sdk is installed.

Light at import: every pytest run of the environment loads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .callers import RunGraph, RunNode, RunPrompt

if TYPE_CHECKING:
    from .memory_storage import MemoryStorage

__all__ = ["RunGraph", "RunNode", "RunPrompt"]


@pytest.fixture
def run_node() -> RunNode:
    """Calls one node: ``run_node(my_node, value=1).output``."""
    return RunNode()


@pytest.fixture
def run_graph() -> RunGraph:
    """Runs a graph: ``run_graph(graph, nodes=[my_node]).ui``."""
    return RunGraph()


@pytest.fixture
def run_prompt() -> RunPrompt:
    """Submits a prompt as a client does, validation included: ``run_prompt(graph, nodes=[my_node]).outcome``."""
    return RunPrompt()


@pytest.fixture
def memory_storage() -> MemoryStorage:
    """An empty storage for the ``storage=`` of the other fixtures: input, output, models, users, jobs."""
    from .memory_storage import MemoryStorage

    return MemoryStorage()
