"""Nodes and packs that do what they must not, on a real server: the right node is told, the rest goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.conftest import PACKS, Server

pytestmark = pytest.mark.e2e

OWN = PACKS / "faulty_site"
"""Nodes whose names begin with Bad, in the form of this project; those of a ComfyUI pack begin with Faulty."""
NODE = """
class Echo:
    INPUT_TYPES = classmethod(lambda cls: {"required": {"text": ("STRING", {})}})
    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    CATEGORY = "taken"

    def run(self, text):
        return (text,)


NODE_CLASS_MAPPINGS = {"FaultyEcho": Echo, "TakenEcho": Echo}
"""
BROKEN_PACKS = {
    "syntax": {"__init__.py": "def broken(:\n"},
    "circular": {
        "__init__.py": "from .one import first\n",
        "one.py": "from .two import second\nfirst = 1\n",
        "two.py": "from .one import first\nsecond = 2\n",
    },
    "taken": {"__init__.py": NODE},
}
FAILURES = {
    "BadRaise": "no 4",
    "BadExit": "3",
    "BadFew": "BadFew returned 1 values for 2 outputs.",
    "BadType": "Output 0 of BadType is INT, not str.",
    "BadPair": "BadPair returned 1 values for 2 outputs.",
    "BadList": "Output 0 of BadList is a list, not int.",
    "BadGenerator": "BadGenerator returned a generator.",
    "BadClass": "The class 'NoSuchClass' of node 'x' is not installed.",
    "BadLink": "A link points to node 'nowhere', which is not in the graph.",
    "BadOutput": "The expansion of BadOutput links to output 7 of a node with 1.",
    "BadCircle": "Nodes wait for each other.",
    "BadItself": "The expansion of node '1' adds node '1', which exists.",
    "BadForever": "Expansions lie more than 1000 deep in each other",
    "BadInside": "no 5",
    "FaultyRaise": "no 4",
    "FaultyExit": "3",
    "FaultyNone": "FaultyNone returned NoneType where 2 outputs (INT, INT) are due.",
    "FaultyBare": "FaultyBare returned int where 1 output (INT) is due.",
    "FaultyGenerator": "FaultyGenerator returned a generator where 1 output (INT) is due.",
    "FaultyUnknownClass": "The class 'NoSuchClass' of node 'x' is not installed.",
    "FaultyBadLink": "A link points to node 'nowhere', which is not in the graph.",
    "FaultyBadOutput": "The expansion of FaultyBadOutput links to output 7 of a node with 1.",
    "FaultyItself": "Nodes wait for each other.",
    "FaultyInside": "no 5",
}
RUNS_ALL_THE_SAME = {
    "BadToken": 4,
    "FaultyToken": 4,
    "FaultyNan": 4,
    "FaultyHidden": 4,
    "FaultyFew": 4,
    "FaultyText": "a text",
}
"""What the node gives. Packs of ComfyUI may give other types than they say, and fewer values: many do."""


def node(class_type: str, value: object) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": {"value": value}}


def beside_a_good_one(class_type: str) -> dict[str, Any]:
    """The faulty node ``1`` is shown by ``2``; nothing binds ``4`` to it."""
    show = "BadShow" if class_type.startswith("Bad") else "FaultyShow"
    return {"1": node(class_type, 4), "2": node(show, ["1", 0]), "3": node("BadEcho", 9), "4": node(show, ["3", 0])}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    base = tmp_path_factory.mktemp("faulty")
    custom_nodes = base / "custom_nodes"
    shutil.copytree(PACKS / "comfyui_packs/faulty_pack", custom_nodes / "faulty_pack")
    for pack, files in BROKEN_PACKS.items():
        (custom_nodes / pack).mkdir()
        for name, text in files.items():
            (custom_nodes / pack / name).write_text(text)
    server = Server(base, OWN)
    server.start()
    server.wait(lambda: "BadEcho" in server.http.get("/object_info").json(), "the nodes")
    yield server
    server.stop()


@pytest.mark.parametrize(("class_type", "message"), FAILURES.items(), ids=FAILURES)
def test_a_faulty_node_fails_by_itself(served: Server, class_type: str, message: str) -> None:
    (worker,) = served.workers()
    entry = served.history(served.post(beside_a_good_one(class_type)))
    (error,) = [data for kind, data in entry["status"]["messages"] if kind == "execution_error"]
    assert (entry["status"]["status_str"], error["node_id"], error["node_type"]) == ("error", "1", class_type)
    assert error["exception_message"].startswith(message)
    assert error["traceback"]
    after = served.history(served.post({"3": node("BadEcho", 9), "4": node("BadShow", ["3", 0])}))
    assert after["outputs"] == {"4": {"values": [9]}}
    assert served.workers() == [worker]


@pytest.mark.parametrize(("class_type", "value"), RUNS_ALL_THE_SAME.items(), ids=RUNS_ALL_THE_SAME)
def test_what_can_be_put_up_with(served: Server, class_type: str, value: object) -> None:
    entry = served.history(served.post(beside_a_good_one(class_type)))
    assert entry["outputs"] == {"2": {"values": [value]}, "4": {"values": [9]}}


def test_an_output_that_was_left_out_is_the_error_of_who_wants_it(served: Server) -> None:
    graph = {"1": node("FaultyFew", 4), "2": node("FaultyShow", ["1", 1])}
    id = served.post(graph)
    assert served.history(id)["outputs"] == {}
    events = served.http.get(f"/api/jobs/{id}/events?since=0").text
    (error,) = [
        json.loads(line[5:]) for line in events.splitlines() if line.startswith("data:") and "FaultyFew r" in line
    ]
    assert error["node_id"] == "2"
    assert "FaultyFew returned 1 of its 2 outputs: there is no INT at 1." in error["exception_message"]


def test_a_node_whose_change_token_is_no_number_runs_in_every_prompt(served: Server) -> None:
    graph = {"1": node("BadNan", 4), "2": node("BadShow", ["1", 0])}
    first, second = (served.history(served.post(graph))["outputs"]["2"]["values"][0] for _ in range(2))
    assert second == first + 1


@pytest.mark.parametrize("class_type", ["BadValidator", "FaultyValidator"])
def test_a_validator_that_raises_keeps_back_its_outputs_alone(served: Server, class_type: str) -> None:
    answer = served.http.post("/prompt", json={"prompt": beside_a_good_one(class_type)}).json()
    (problem,) = answer["node_errors"]["1"]["errors"]
    assert problem["type"] == "exception_during_inner_validation"
    assert problem["extra_info"]["exception_type"] in ("ArithmeticError", "ZeroDivisionError")
    assert answer["node_errors"]["1"]["dependent_outputs"] == ["2"]
    assert served.history(answer["prompt_id"])["outputs"] == {"4": {"values": [9]}}


def test_packs_that_can_not_be_loaded_leave_the_others_alone(served: Server) -> None:
    info = served.http.get("/object_info").json()
    assert info["FaultyEcho"]["python_module"] == "custom_nodes.faulty_pack"
    assert info["TakenEcho"]["python_module"] == info["taken:FaultyEcho"]["python_module"] == "custom_nodes.taken"
    log = served.log()
    assert "custom_nodes/syntax can't be loaded" in log
    assert "SyntaxError" in log
    assert "custom_nodes/circular can't be loaded" in log
    assert "circular import" in log
    assert "Node FaultyEcho is in faulty_pack" in log
    assert "the latter is taken:FaultyEcho" in log


def test_the_command_line_lists_packs_one_by_one(served: Server) -> None:
    command = [served.python, "-m", "comfykernel_cli", "plugins", "--json", "--base-directory", str(served.base)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(OWN)})
    packs = {info["name"]: info for info in json.loads(done.stdout) if info["kind"] == "pack"}
    assert {name: info["state"] for name, info in packs.items()} == {
        "faulty": "loaded",
        "faulty_pack": "loaded",
        "taken": "loaded",
        "syntax": "failed",
        "circular": "failed",
    }
    assert "SyntaxError" in packs["syntax"]["error"]
    assert done.returncode == 1


@pytest.mark.parametrize("length", [3_000, 10_000])
def test_prompts_may_be_long_and_deep(served: Server, length: int) -> None:
    graph = {str(n): node("BadEcho", [str(n - 1), 0] if n else length) for n in range(length)}
    graph["show"] = node("BadShow", [str(length - 1), 0])
    assert served.history(served.post(graph))["outputs"] == {"show": {"values": [length]}}


def test_prompts_that_share_a_node_keep_their_constants_apart(served: Server) -> None:
    graphs = [{"1": node("BadEcho", value), "2": node("BadShow", ["1", 0])} for value in (1, 2, 1, 3)]
    shown = [served.history(id)["outputs"]["2"]["values"] for id in [served.post(graph) for graph in graphs]]
    assert shown == [[1], [2], [1], [3]]
