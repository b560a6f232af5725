"""Rules about packs, and the command ``comfykernel check``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click.testing
import pytest

from comfykernel_cli import main
from comfykernel_devtools.check import checking
from comfykernel_devtools.check.pack_source import find_pack
from comfykernel_sdk.errors import BadInput, NotFound

from .conftest import PLUGIN, PYPROJECT, CheckNodes, MakePack
from .test_check_nodes import GOOD

ODD = GOOD.replace("default=0.5", "default='much'")


def command(*arguments: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(main, ["check", "--alone", *arguments])


def test_heavy_imports_at_the_door(check_nodes: CheckNodes) -> None:
    plugin = "from . import nodes\n" + PLUGIN
    checked = check_nodes("import sqlite3\nimport PIL.Image\n" + GOOD, plugin=plugin)
    (finding,) = checked.of("heavy-import")
    assert finding.message.startswith("PIL is imported as soon as")
    assert checked.line(finding) == "import PIL.Image"
    assert checked.report.import_s > 0
    (undeclared,) = checked.of("undeclared-dependency")
    assert "does not ask for pillow" in undeclared.message.lower()


def test_imports_inside_register_nodes_are_fine(check_nodes: CheckNodes) -> None:
    pyproject = PYPROJECT.replace('"comfykernel-sdk"', '"comfykernel-sdk", "Pillow>=10"')
    assert check_nodes("import PIL.Image\n" + GOOD, pyproject=pyproject).report.findings == []


def test_the_inside_of_comfykernel_is_not_for_packs(check_nodes: CheckNodes) -> None:
    (finding,) = check_nodes("import comfykernel.near_miss\n" + GOOD).of("inside-import")
    assert finding.severity == "warning"


def test_what_a_project_lacks(make_pack: MakePack) -> None:
    pyproject = PYPROJECT.replace('readme = "README.md"\nlicense = "MIT"\n', "")
    folder = make_pack(GOOD, pyproject=pyproject)
    (folder / "tests/test_odd.py").unlink()
    (folder / "src/odd_pack/py.typed").unlink()
    done = command(str(folder), "--json")
    assert done.exit_code == 0
    rules = {finding["rule"] for finding in json.loads(done.output)["findings"]}
    assert rules == {"py-typed", "no-tests", "no-readme", "no-license"}
    assert command(str(folder), "--strict").exit_code == 1
    assert command(str(folder), "--strict", "--ignore", "py-typed", "--ignore", "no-tests").exit_code == 0


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        ("raise RuntimeError('not today')", "fails when it is imported: RuntimeError: not today"),
        (PLUGIN.replace("from . import nodes", "import no_such_thing"), "No module named 'no_such_thing'"),
        ("def broken(:", "SyntaxError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import os; os._exit(7)", "ended with exit code 7"),
        ("print('hello')", "registers no nodes"),
    ],
)
def test_packs_that_do_not_load(make_pack: MakePack, plugin: str, words: str) -> None:
    done = command(str(make_pack(GOOD, plugin=plugin)))
    assert done.exit_code == 1
    assert words in done.output
    assert "Error" not in done.stderr


def test_a_pack_that_never_loads(make_pack: MakePack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "LONGEST_S", 1.0)
    done = command(str(make_pack(GOOD, plugin="import time\ntime.sleep(60)")))
    assert done.exit_code == 1
    assert "not loaded within 1 s" in done.output


def test_the_output_names_file_and_line(make_pack: MakePack, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_pack(ODD)
    monkeypatch.chdir(folder)
    done = command(".")
    assert done.exit_code == 1
    line = "src/odd_pack/nodes.py:8: error: OddGood.amount: The default 'much' is no FLOAT. [default-type]"
    assert line in done.output.splitlines()
    assert done.output.rstrip().endswith("1 error.")
    assert "\x1b[" not in done.output


def test_json_holds_the_same(make_pack: MakePack) -> None:
    folder = make_pack(ODD)
    done = command(str(folder), "--json")
    assert done.exit_code == 1
    report = json.loads(done.output)
    assert (report["distribution"], report["folder"], report["nodes"]) == ("odd-pack", str(folder), ["OddGood"])
    (finding,) = report["findings"]
    assert finding == {
        "rule": "default-type", "severity": "error", "message": "The default 'much' is no FLOAT.",
        "node": "OddGood", "input": "amount", "file": str(folder / "src/odd_pack/nodes.py"), "line": 8,
    }  # fmt: skip


def test_good_news(make_pack: MakePack) -> None:
    done = command(str(make_pack(GOOD)))
    assert done.exit_code == 0
    assert done.output.startswith("odd-pack 1.0: 1 node, found in ")
    assert done.output.rstrip().endswith("All is well.")


def test_installed_packs_are_found_by_any_of_their_names() -> None:
    for name in ("comfykernel-core-nodes", "comfykernel_core_nodes", "Comfykernel.Core.Nodes"):
        assert find_pack(name).distribution == "comfykernel-core-nodes"
    with pytest.raises(NotFound, match="Did you mean 'comfykernel-core-nodes'"):
        find_pack("comfykernel-core-node")


def test_folders_without_a_pack(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no project of a pack"):
        find_pack(str(tmp_path))
    (tmp_path / "__init__.py").write_text("NODE_CLASS_MAPPINGS = {}")
    with pytest.raises(BadInput, match="custom_nodes/"):
        find_pack(str(tmp_path))
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'")
    with pytest.raises(BadInput, match="names no plugin"):
        find_pack(str(tmp_path))
    (tmp_path / "pyproject.toml").write_text("[project\n")
    with pytest.raises(BadInput, match="can't be read"):
        find_pack(str(tmp_path))


def test_the_import_leaves_this_process_alone(check_nodes: CheckNodes) -> None:
    check_nodes(GOOD)
    assert "odd_pack" not in sys.modules
    assert not [path for path in sys.path if "odd-pack" in path]
