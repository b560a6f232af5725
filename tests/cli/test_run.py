"""``comfykernel run``: results, changes of inputs, and what can go wrong."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from .conftest import GRAPH, Invoke


def test_run_writes_the_result_and_says_where(invoke: Invoke, workflow: str) -> None:
    result = invoke("run", workflow)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "output/words_00001_.txt  (0.0 KiB)\n"
    assert Path("output/words_00001_.txt").read_text() == "hello 1 calm"


def test_run_changes_inputs_by_id_title_and_class(invoke: Invoke, workflow: str) -> None:
    result = invoke(
        "run", workflow, "--set", "1.text=12", "--set", "Greeting.tone=loud", "--set", "Write.kind=output",
        "--seed", "7", "--output", "results",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert Path("results/words_00001_.txt").read_text() == "12 7 loud"


def test_run_reads_standard_input_and_a_whole_request(invoke: Invoke) -> None:
    result = invoke("run", "-", "--json", input=json.dumps({"prompt": GRAPH, "client_id": "x"}))
    told = json.loads(result.stdout)
    assert told["status"] == "done"
    assert told["files"] == [{"path": "output/words_00001_.txt", "size": 12, "node": "2", "temporary": False}]
    assert told["outputs"]["2"]["length"] == [12]


def test_temporary_results_are_marked(invoke: Invoke, workflow: str) -> None:
    assert invoke("run", workflow, "--set", "2.kind=temp").stdout.endswith("(0.0 KiB, temporary)\n")


def test_a_failing_node_is_named_with_its_message(invoke: Invoke) -> None:
    graph = {"9": {"class_type": "Fall", "inputs": {"text": "a stone"}}}
    result = invoke("run", "-", input=json.dumps(graph))
    assert result.exit_code == 1
    assert "Node 9 (Fall) failed: ValueError: fell over a stone" in result.stderr
    assert "raise ValueError" in result.stderr


def test_an_interrupt_stops_the_node_that_runs(invoke: Invoke) -> None:
    handler = signal.getsignal(signal.SIGINT)
    result = invoke("run", "-", input='{"1": {"class_type": "Interrupt", "inputs": {}}}')
    assert (result.exit_code, result.stderr) == (130, "Interrupted.\n")
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_workflow_that_cannot_run_names_node_and_input(invoke: Invoke, workflow: str) -> None:
    result = invoke("run", workflow, "--set", "1.seed=100", "--set", "1.tone=shrill")
    assert result.exit_code == 1
    assert "Node 1 (Say): Value 100 bigger than max of 99: seed" in result.stderr
    assert "tone: 'shrill' not in ['calm', 'loud']" in result.stderr
    assert not Path("output").exists() or not list(Path("output").iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[1]", "is no workflow"),
        ('{"1": 2}', "is no workflow"),
        ("[" * 100_000, "nested too deeply"),
        ('{"nodes": [], "links": []}', "Install comfykernel-ui-workflows"),
        ("{}", "Prompt has no outputs"),
        ('{"1": {"class_type": "Sya", "inputs": {}}}', "Did you mean 'Say'?"),
    ],
)
def test_files_that_are_no_workflow(invoke: Invoke, text: str, message: str) -> None:
    result = invoke("run", "-", input=text)
    assert result.exit_code in (1, 2)
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_missing_file_is_named(invoke: Invoke) -> None:
    result = invoke("run", "absent.json")
    assert (result.exit_code, result.stderr) == (2, "Error: There is no file absent.json.\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("text=1", "not of the form NODE.INPUT=VALUE"),
        ("1.txet=1", "Node 1 has no input 'txet'. Did you mean 'text'?"),
        ("Sya.text=1", "There is no node 'Sya' in this workflow. Did you mean 'Say'?"),
    ],
)
def test_changes_that_make_no_sense(invoke: Invoke, workflow: str, change: str, message: str) -> None:
    result = invoke("run", workflow, "--set", change)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_seed_needs_a_node_that_has_one(invoke: Invoke) -> None:
    result = invoke("run", "-", "--seed", "1", input=json.dumps({"9": {"class_type": "Fall", "inputs": {"text": "x"}}}))
    assert "No node of this workflow has a seed." in result.stderr


def test_a_title_of_several_nodes_asks_for_an_id(invoke: Invoke) -> None:
    graph = {id: {"class_type": "Fall", "inputs": {"text": "x"}} for id in "34"}
    result = invoke("run", "-", "--set", "Fall.text=y", input=json.dumps(graph))
    assert "'Fall' names several nodes. Use an id: 3, 4." in result.stderr
