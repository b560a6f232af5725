"""What clients see of a node and what type checkers see of it are the same.

A file of calls is made from object_info: each input of each node with values that clients may send and with one that
they may not, and each output as the type that it says and as another. mypy and pyright must report exactly the lines
that object_info forbids.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfykernel.catalog import CatalogKeeper
from comfykernel_sdk.nodes import definition_of
from comfykernel_sdk.testing import MemoryStorage

from . import typed_nodes

pytestmark = pytest.mark.slow

NODES = {
    "widgets": typed_nodes.widgets,
    "sockets": typed_nodes.sockets,
    "Chooser().run": typed_nodes.Chooser,
    "resize": typed_nodes.resize,
}
RIGHT = {
    "INT": ["1"],
    "FLOAT": ["0.5", "1"],
    "STRING": ["'x'"],
    "BOOLEAN": ["True"],
    "IMAGE": ["TENSOR"],
    "MASK": ["TENSOR"],
    "LATENT": ["LATENT"],
}
"""Wire type -> Python expressions that stand for it."""
PYTHON = {"INT": "int", "FLOAT": "float", "STRING": "str", "BOOLEAN": "bool", "IMAGE": "torch.Tensor"}
UNSEEN = {"id": "'1'", "context": "CONTEXT"}
"""Parameters that clients don't see."""
HEAD = """\
import torch
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.nodes import NodePack, node
from comfykernel_sdk.sockets import Choice, Float, Int, LatentDict, Text, Toggle
from comfykernel_sdk.testing import run_graph, run_node
from typed_nodes import *

TENSOR = torch.zeros(1, 1, 1, 3)
LATENT: LatentDict = {"samples": TENSOR}
def context() -> NodeContext: raise NotImplementedError
CONTEXT = context()
"""
DECLARATIONS = """\
node("Id", category=3)  # wrong
node(7)  # wrong
node("Id", output_node="yes")  # wrong
node("Id", category="a/b", output_node=True, search_aliases=("c",))
Int(default="1")  # wrong
Int(default=1, min=0, max=2, step=1, display="slider")
Int(display="knob")  # wrong
Float(default=1, min=0.5)
Float(min="0")  # wrong
Text(multiline="yes")  # wrong
Toggle(default="on")  # wrong
Choice("a", 1, default="a")
Choice(["a", "b"])  # wrong
NodePack(3)  # wrong
NodePack("pack", [widgets, Chooser])
run_node(widgets, count=1).output
run_node(widgets, count=1).outcome  # wrong
run_graph({"1": {"class_type": "TypedShow", "inputs": {}}}, nodes=[show]).status
run_graph({}, nodes=5)  # wrong
"""


def info_of(node: object) -> dict[str, Any]:
    """A node as /object_info gives it."""
    keeper = CatalogKeeper(MemoryStorage(), Path("none"), "")
    info: dict[str, Any] = keeper.node_info(definition_of(node).spec)
    return info


def allowed(declared: list[Any]) -> list[str]:
    """Python expressions for what an input takes."""
    if isinstance(declared[0], list):
        return [repr(choice) for choice in declared[0]]
    return RIGHT[declared[0]]


def calls(function: str, info: dict[str, Any]) -> Iterator[str]:
    """Calls of a node with what object_info allows and, marked, with what it forbids."""
    inputs = {**info["input"]["required"], **info["input"].get("optional", {})}
    usual = {name: allowed(declared)[0] for name, declared in inputs.items()}
    if info["input"].get("hidden"):
        usual |= UNSEEN
    for name, declared in inputs.items():
        wrong = "'no such choice'" if isinstance(declared[0], list) else "object()"
        for value in allowed(declared):
            yield call(function, {**usual, name: value})
        yield f"{call(function, {**usual, name: wrong})}  # wrong"
        without = {key: value for key, value in usual.items() if key != name}
        yield call(function, without) + ("" if name in info["input"].get("optional", {}) else "  # wrong")
    yield f"{call(function, {**usual, 'no_such_input': '1'})}  # wrong"
    types = [PYTHON[wire] for wire in info["output"]]
    returned = types[0] if len(types) == 1 else f"tuple[{', '.join(types)}]"
    number = abs(hash(function)) % 10_000
    yield f"right_{number}: {returned} = {call(function, usual)}"
    yield f"wrong_{number}: bytes = {call(function, usual)}  # wrong"


def call(function: str, values: dict[str, str]) -> str:
    return f"{function}({', '.join(f'{name}={value}' for name, value in values.items())})"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pack, and a module ``use.py`` that uses it rightly and wrongly."""
    made = tmp_path_factory.mktemp("typing")
    shutil.copy(Path(__file__).with_name("typed_nodes.py"), made)
    (made / "py.typed").write_text("")
    lines = [HEAD]
    for function, node in NODES.items():
        if function != "resize":
            lines += calls(function, info_of(node))
    lines += [
        "resize(image=TENSOR, how={'how': 'to size', 'width': 4})",
        "resize(image=TENSOR, how={'how': 'by factor', 'factor': 0.5})",
        "resize(image=TENSOR, how={'how': 'by factor', 'width': 4})  # wrong",
        "resize(image=TENSOR, how={'how': 'no such way', 'width': 4})  # wrong",
        "batch(images=[TENSOR, TENSOR], weights={'a': 0.5})",
        "batch(images=TENSOR, weights={})  # wrong",
        "batch(images=[TENSOR], weights={'a': 'heavy'})  # wrong",
        "batch(images=[TENSOR])  # wrong",
        "kept: int = either(True, 1, 2)",
        "lost: bytes = either(True, 1, 2)  # wrong",
        DECLARATIONS,
    ]
    (made / "use.py").write_text("\n".join(lines))
    return made


def marked(folder: Path) -> dict[int, str]:
    """The lines of use.py that must be reported."""
    lines = (folder / "use.py").read_text().splitlines()
    return {number: line for number, line in enumerate(lines, 1) if line.endswith("# wrong")}


def test_object_info_of_the_branches_is_what_the_calls_use() -> None:
    info = info_of(typed_nodes.resize)
    (_, options) = info["input"]["required"]["how"]
    assert [branch["key"] for branch in options["options"]] == ["to size", "by factor"]
    groups = info_of(typed_nodes.batch)["input"]["required"]
    assert [group[1]["template"]["min"] for group in groups.values()] == [2, 0]
    assert info_of(typed_nodes.either)["output_matchtypes"] == ["T"]


def test_mypy_sees_what_clients_see(folder: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--output", "json", "--cache-dir", str(folder / ".cache")]
    done = subprocess.run(
        [*command, "typed_nodes.py", "use.py"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    errors = [json.loads(line) for line in done.stdout.splitlines()]
    found = {(e["file"], e["line"]): e["message"] for e in errors if e["severity"] == "error"}
    compare(folder, found)


def test_pyright_sees_what_clients_see(folder: Path) -> None:
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard", "include": ["."]}')
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    errors = json.loads(done.stdout)["generalDiagnostics"]
    found = {
        (Path(e["file"]).name, e["range"]["start"]["line"] + 1): e["message"]
        for e in errors
        if e["severity"] == "error"
    }
    compare(folder, found)


def compare(folder: Path, found: dict[tuple[str, int], str]) -> None:
    """Exactly the marked lines were reported."""
    expected = marked(folder)
    surplus = {place: message for place, message in found.items() if place[0] != "use.py" or place[1] not in expected}
    missed = [line for number, line in expected.items() if ("use.py", number) not in found]
    assert (surplus, missed) == ({}, [])
    assert len(expected) > 40
