"""What runs again and what does not."""

from __future__ import annotations

import logging
import math
from typing import Literal

import pytest

from comfykernel.engine import cache
from comfykernel_sdk.events import NodeOutput
from comfykernel_sdk.graph import Graph
from comfykernel_sdk.nodes import Result, node
from comfykernel_sdk.settings import ExecutionSettings, Settings
from comfykernel_sdk.sockets import PromptGraph, UniqueId
from comfykernel_sdk.testing import GraphRunner, run_graph


@node("Echo")
def echo(value: str) -> str:
    return value


@node("Show", output_node=True)
def show(value: str) -> Result[str]:
    return Result(value, ui={"text": [value]})


@node("Volatile", volatile=True)
def volatile(value: str) -> str:
    return value


@node("Count", output_node=True)
class Count:
    def __init__(self) -> None:
        self.count = 0

    @staticmethod
    def fingerprint(value: str) -> float:
        return math.nan

    def run(self, value: str) -> Result[None]:
        self.count += 1
        return Result(ui={"count": [self.count]})


@node("Versioned")
class Versioned:
    version: object = 1

    def fingerprint(self, value: str | None) -> object:
        if value == "raise":
            raise OSError("gone")
        return [Versioned.version, value]

    def run(self, value: str) -> str:
        return value


@node("Prompt", output_node=True)
def prompt(value: str, graph: PromptGraph) -> Result[None]:
    return Result(ui={"prompt": [graph]})


NODES = (echo, show, volatile, Count, Versioned, prompt)


def runner(
    cache: Literal["classic", "lru", "none", "ram"] = "classic", size: int = 0, *, free_gb: float = 0.0
) -> GraphRunner:
    execution = ExecutionSettings(cache=cache, cache_size=size, cache_ram_gb=free_gb)
    return GraphRunner(NODES, settings=Settings(execution=execution))


def chain(value: str, *, first: str = "Echo", ids: tuple[str, str] = ("1", "2")) -> Graph:
    return {
        ids[0]: {"class_type": first, "inputs": {"value": value}},
        ids[1]: {"class_type": "Show", "inputs": {"value": [ids[0], 0]}},
    }


def test_nothing_runs_twice() -> None:
    engine = runner()
    assert engine.run(chain("a")).ran == ["1", "2"]
    again = engine.run(chain("a"))
    assert (again.ran, again.cached, again.ui) == ([], ["1", "2"], {"2": {"text": ["a"]}})
    (shown,) = [event for event in again.events if isinstance(event, NodeOutput)]
    assert (shown.cached, shown.output) == (True, {"text": ["a"]})


def test_only_what_changed_runs() -> None:
    engine = runner()
    two = {**chain("a"), **chain("b", ids=("3", "4"))}
    assert set(engine.run(two).ran) == {"1", "2", "3", "4"}
    two["3"]["inputs"] = {"value": "c"}
    run = engine.run(two)
    assert (run.ran, run.cached) == (["3", "4"], ["1", "2"])
    assert run.ui == {"2": {"text": ["a"]}, "4": {"text": ["c"]}}


def test_ids_and_titles_do_not_count() -> None:
    engine = runner()
    engine.run(chain("a"))
    other = chain("a", ids=("x", "y"))
    other["x"]["_meta"] = {"title": "T"}
    other["x"]["inputs"] = {"value": "a", "unknown": 1}
    run = engine.run(other)
    assert run.ran == []
    assert run.outcome.meta == {
        "y": {"node_id": "2", "display_node": "2", "parent_node": None, "real_node_id": "2"},
    }


def test_ids_count_for_a_node_that_is_told_its_own() -> None:
    @node("Id", output_node=True)
    def id_node(id: UniqueId) -> Result[None]:
        return Result(ui={"id": [id]})

    engine = GraphRunner([id_node])
    assert [engine.run({id: {"class_type": "Id", "inputs": {}}}).ui[id]["id"] for id in "ab"] == [["a"], ["b"]]


def test_constants_of_another_type_are_another_input() -> None:
    @node("Kind", output_node=True)
    def kind(value: float) -> Result[None]:
        return Result(ui={"kind": [type(value).__name__]})

    engine = GraphRunner([kind])
    values = (1, 1.0, True, "1")
    runs = [engine.run({"1": {"class_type": "Kind", "inputs": {"value": value}}}) for value in values]
    assert [run.ui["1"]["kind"] for run in runs] == [["int"], ["float"], ["bool"], ["str"]]


def test_equal_nodes_of_one_graph_run_once() -> None:
    run = runner().run({**chain("a"), **chain("a", ids=("3", "4"))})
    assert len(run.ran) == 2
    assert run.ui == {"2": {"text": ["a"]}, "4": {"text": ["a"]}}


def test_classic_forgets_what_the_last_prompt_did_not_use() -> None:
    engine = runner()
    for value in ("a", "b"):
        engine.run(chain(value))
    assert engine.run(chain("a")).ran == ["1", "2"]


def test_classic_keeps_what_stands_in_the_prompt_without_being_asked_for() -> None:
    engine = runner()
    two = {**chain("a"), **chain("b", ids=("3", "4"))}
    engine.run(two)
    assert engine.run(two, outputs=["4"]).ran == []
    assert engine.run(two).cached == ["1", "2", "3", "4"]


def test_lru_keeps_the_last_ones() -> None:
    engine = runner("lru", 4)
    for value in ("a", "b"):
        engine.run(chain(value))
    assert engine.run(chain("a")).ran == []
    engine.run(chain("c"))
    assert engine.run(chain("a")).ran == []
    assert engine.run(chain("b")).ran == ["1", "2"]


def test_none_keeps_nothing() -> None:
    engine = runner("none")
    assert [engine.run(chain("a")).ran for _ in range(2)] == [["1", "2"], ["1", "2"]]
    assert engine.engine.cache_bytes() == 0


def test_ram_keeps_all() -> None:
    engine = runner("ram")
    for value in ("a", "b"):
        engine.run(chain(value))
    assert engine.run(chain("a")).ran == []


def test_ram_leaves_as_much_free_as_it_was_told() -> None:
    small, large = runner("ram", free_gb=0.001), runner("ram", free_gb=1e9)
    for engine in (small, large):
        engine.run(chain("a"))
    assert small.engine.cache_bytes() > large.engine.cache_bytes() == 0
    assert (small.run(chain("a")).ran, large.run(chain("a")).ran) == ([], ["1", "2"])


def test_ram_makes_room_while_a_prompt_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    @node("Size")
    def size(value: str) -> str:
        sizes.append(engine.engine.cache_bytes())
        return value

    monkeypatch.setattr(cache, "LOOK_EVERY_S", 0.0)
    engine = GraphRunner([*NODES, size], settings=Settings(execution=ExecutionSettings(cache="ram", cache_ram_gb=1e9)))
    graph = chain("a")
    graph["3"] = {"class_type": "Size", "inputs": {"value": ["2", 0]}}
    graph["4"] = {"class_type": "Show", "inputs": {"value": ["3", 0]}}
    run = engine.run(graph)
    assert (run.status, run.ui["4"], sizes) == ("done", {"text": ["a"]}, [0])


def test_nodes_before_a_failure_stay_known() -> None:
    engine = runner()
    graph = chain("a")
    graph["2"]["inputs"] = {"value": ["1", 5]}
    assert engine.run(graph).status == "failed"
    assert engine.run(chain("a")).ran == ["2"]


@pytest.mark.parametrize("first", ["Volatile", "Count"])
def test_a_volatile_node_runs_at_every_prompt_with_what_follows(first: str) -> None:
    engine = runner()
    graph: Graph = (
        chain("a", first=first) if first == "Volatile" else {"1": {"class_type": first, "inputs": {"value": "a"}}}
    )
    assert engine.run(graph).ran == engine.run(graph).ran == list(graph)


def test_a_fingerprint_decides(caplog: pytest.LogCaptureFixture) -> None:
    engine = runner()
    Versioned.version = 1
    engine.run(chain("a", first="Versioned"))
    assert engine.run(chain("a", first="Versioned")).ran == []
    Versioned.version = 2
    assert engine.run(chain("a", first="Versioned")).ran == ["1", "2"]
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert engine.run(chain("raise", first="Versioned")).ran == ["1", "2"]
    assert "OSError('gone')" in caplog.text


def test_a_fingerprint_sees_no_linked_values_and_its_answer_stands_in_the_saved_prompt() -> None:
    Versioned.version = "v"
    graph: Graph = {
        "1": {"class_type": "Echo", "inputs": {"value": "a"}},
        "2": {"class_type": "Versioned", "inputs": {"value": ["1", 0]}},
        "3": {"class_type": "Prompt", "inputs": {"value": ["2", 0]}},
    }
    run = run_graph(graph, nodes=NODES)
    assert run.ui["3"]["prompt"] == [{**graph, "2": {**graph["2"], "is_changed": [["v", None]]}}]
    assert "is_changed" not in graph["2"]
    assert run.outcome.graph is None


def test_an_instance_lives_while_its_id_and_class_stay() -> None:
    engine = runner()

    def count(id: str) -> object:
        return engine.run({id: {"class_type": "Count", "inputs": {"value": "x"}}}).ui[id]["count"]

    assert [count("5"), count("5"), count("6"), count("5")] == [[1], [2], [1], [1]]
    engine.engine.free(unload_models=False, free_memory=True)
    assert count("5") == [1]


def test_free_forgets_outputs() -> None:
    engine = runner()
    engine.run(chain("a" * 1000))
    assert engine.engine.cache_bytes() > 1000
    engine.engine.free(unload_models=True, free_memory=False)
    assert engine.run(chain("a" * 1000)).ran == []
    engine.engine.free(unload_models=False, free_memory=True)
    assert engine.engine.cache_bytes() == 0
    assert engine.run(chain("a" * 1000)).ran == ["1", "2"]
