"""Graphs of records, as the check of recorded numbers runs them."""

from __future__ import annotations

import pytest
import torch

from comfykernel_core_nodes.golden.node_graphs import run_graph
from comfykernel_core_nodes.golden.records import Absent


def test_nodes_that_take_lists_get_items_one_by_one() -> None:
    leaves = {"a": torch.zeros(1, 2, 2, 3), "b": torch.ones(2, 2, 2, 3)}
    graph = {"op": {"node": "RebatchImages", "inputs": {"images": [["a", 0], ["b", 0]], "batch_size": [2]}}}
    out = run_graph(graph, leaves, {"out": ("op", 0)})["out"]
    assert [tuple(batch.shape) for batch in out] == [(2, 2, 2, 3), (1, 2, 2, 3)]
    assert out[0].mean((1, 2, 3)).tolist() == [0.0, 1.0]


def test_absent_node_is_named() -> None:
    with pytest.raises(Absent, match="no node Nowhere"):
        run_graph({"op": {"node": "Nowhere", "inputs": {}}}, {}, {"out": ("op", 0)})
