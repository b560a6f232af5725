"""Every distribution has the same form, and what the project promises about its own shape holds."""

from __future__ import annotations

import ast
import inspect
import io
import re
import statistics
import tokenize
import tomllib
from pathlib import Path

import pluggy
import pytest

from comfykernel_sdk import hooks

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
DISTRIBUTIONS = [ROOT / "sdk", ROOT / "kernel", ROOT / "cli", *PLUGINS, ROOT / "examples/hello_pack"]
HEAVY = {"torch", "numpy", "litestar", "uvicorn", "PIL", "safetensors", "yaml"}
KERNEL_LINES = 5000
"""Of sdk and kernel together, protocols of model families included, without the kit for tests of plugins."""
NO_CODE = (
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
)  # fmt: skip
LONGEST_FILE = 600

HOOKS = {
    name: function
    for name, function in vars(hooks).items()
    if inspect.isfunction(function) and pluggy.PluginManager(hooks.PROJECT).parse_hookspec_opts(hooks, name)
}


def sources(folder: Path) -> list[Path]:
    return sorted(folder.glob("src/**/*.py"))


def lines_of_code(path: Path) -> int:
    """Lines that hold code: no blank line, no comment, no docstring."""
    text = path.read_text()
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NO_CODE:
            code.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            code.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(code)


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda path: path.name)
def test_distribution_has_its_parts(folder: Path) -> None:
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert project["requires-python"] == ">=3.11"
    assert (folder / project["readme"]).read_text().startswith("# ")
    (package,) = [path for path in (folder / "src").iterdir() if (path / "__init__.py").is_file()]
    assert (package / "py.typed").is_file()
    groups = project.get("entry-points", {})
    doors = {door for group in hooks.GROUPS for door in groups.get(group, {}).values()}
    if folder.parent.name in ("plugins", "examples"):
        assert doors - {f"{package.name}.commands"} == {f"{package.name}.plugin"}


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda path: path.name)
def test_the_door_of_a_plugin_is_light(folder: Path) -> None:
    (door,) = folder.glob("src/*/plugin.py")
    top = [node for node in ast.parse(door.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in top if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in top if isinstance(node, ast.ImportFrom)}
    assert not {name.partition(".")[0] for name in names} & HEAVY


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_documented_with_its_arguments(name: str) -> None:
    arguments = ", ".join(inspect.signature(HOOKS[name]).parameters)
    assert f"`{name}({arguments})`" in (ROOT / "docs/plugins.md").read_text()
    assert inspect.getdoc(HOOKS[name])


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_has_a_test_named_after_it(name: str) -> None:
    tests = (ROOT / "tests/kernel/plugin_host/test_hooks.py").read_text()
    assert re.search(rf"def test_\w*{name}", tests)


def test_every_setting_is_documented() -> None:
    from comfykernel_cli.settings import setting_keys

    text = (ROOT / "docs/configuration.md").read_text()
    missing = [key for key in setting_keys() if f"`{key.partition('.')[2]}`" not in text]
    assert not missing


def test_sdk_and_kernel_stay_small() -> None:
    files = [path for name in ("sdk", "kernel") for path in sources(ROOT / name) if "testing" not in path.parts]
    assert sum(lines_of_code(path) for path in files) < KERNEL_LINES


def test_files_and_functions_stay_short() -> None:
    files = [path for folder in DISTRIBUTIONS for path in sources(folder)]
    lengths = {path: len(path.read_text().splitlines()) for path in files}
    assert statistics.median(lengths.values()) < 150
    assert [path for path, length in lengths.items() if length > LONGEST_FILE] == []
    spans = sorted(
        (node.end_lineno or 0) - node.lineno + 1
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert spans[len(spans) * 9 // 10] < 30
