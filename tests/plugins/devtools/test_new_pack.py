"""``comfykernel new nodes``: names, refusals, and that a pack is whole or not there."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import click.testing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykernel_cli import main
from comfykernel_devtools.new import pack_files
from comfykernel_devtools.new.pack_names import DISTRIBUTION_NAME, LONGEST_NAME, names_for
from comfykernel_sdk.errors import BadInput, ComfykernelError, Conflict

LONG = "a-" * 31 + "zz"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def new(*arguments: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(main, ["new", "nodes", *arguments])


def test_a_name_in_all_its_forms() -> None:
    names = names_for("Shape_Tools.v2")
    assert (names.distribution, names.package) == ("shape-tools-v2", "shape_tools_v2")
    assert (names.prefix, names.title) == ("ShapeToolsV2", "Shape Tools V2")
    assert names_for("9lives", package="nine_lives").package == "nine_lives"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "For example 'shape-tools'"),
        ("My Nodes!", "Perhaps 'my-nodes'"),
        ("-nodes", "Perhaps 'nodes'"),
        ("Größe", "Perhaps 'groe'"),
        ("../nodes", "chosen with --directory"),
        ("a" * (LONGEST_NAME + 1), "up to 64"),
        ("9lives", "'9lives': it is no Python identifier"),
        ("class", "a word of the language"),
        ("json", "the standard library"),
    ],
)
def test_names_that_nothing_can_have(name: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        names_for(name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Rich", "distribution 'rich'"),
        ("comfykernel-core-nodes", "distribution 'comfykernel-core-nodes'"),
        ("PIL", "package 'PIL'|package 'pil'"),
        ("core", "node plugin 'core' of comfykernel-core-nodes"),
        ("_pytest", "can't be the name"),
    ],
)
def test_names_that_are_taken(name: str, words: str) -> None:
    with pytest.raises(ComfykernelError, match=words):
        names_for(name, package="PIL" if name == "PIL" else None)


@given(st.text(max_size=70) | st.from_regex(DISTRIBUTION_NAME, fullmatch=True))
def test_whatever_is_typed_is_refused_or_can_be_installed(name: str) -> None:
    try:
        names = names_for(name)
    except ComfykernelError:
        return
    assert names.package.isidentifier()
    assert DISTRIBUTION_NAME.fullmatch(names.distribution)


def test_the_files_of_a_pack(home: Path) -> None:
    done = new("shape-tools", "--license", "mit", "--author", 'Ada "the first" Löve')
    assert done.exit_code == 0, done.output
    made = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    package = "shape-tools/src/shape_tools"
    assert made == {
        "shape-tools/.gitignore", "shape-tools/LICENSE", "shape-tools/README.md", "shape-tools/pyproject.toml",
        f"{package}/__init__.py", f"{package}/nodes.py", f"{package}/plugin.py", f"{package}/py.typed",
        "shape-tools/tests/test_nodes.py",
    }  # fmt: skip
    project = tomllib.loads(Path("shape-tools/pyproject.toml").read_text())["project"]
    assert project["authors"] == [{"name": 'Ada "the first" Löve'}]
    assert project["license"] == "MIT"
    assert project["entry-points"]["comfykernel.nodes"] == {"shape_tools": "shape_tools.plugin"}
    assert 'Ada "the first" Löve' in Path("shape-tools/LICENSE").read_text()
    assert len(Path("shape-tools/README.md").read_text().splitlines()) <= 10
    assert "pip install -e" in done.output


@pytest.mark.parametrize("license", pack_files.LICENSES)
def test_licenses(home: Path, license: str) -> None:
    assert new("shape-tools", "--license", license).exit_code == 0
    project = tomllib.loads(Path("shape-tools/pyproject.toml").read_text())["project"]
    assert project.get("license", "") == pack_files.LICENSES[license]
    assert Path("shape-tools/LICENSE").exists() is (license != "none")


def test_an_existing_folder_is_left_as_it_is(home: Path) -> None:
    (home / "shape-tools").mkdir()
    (home / "link").symlink_to(home / "nowhere")
    (home / "file").write_text("mine")
    for name, directory in (("shape-tools", "shape-tools"), ("a", "link"), ("b", "file")):
        done = new(name, "--directory", directory)
        assert done.exit_code == 2
        assert "is there already" in done.output + done.stderr
    assert list((home / "shape-tools").iterdir()) == []
    assert (home / "file").read_text() == "mine"
    assert sorted(path.name for path in home.iterdir()) == ["file", "link", "shape-tools"]


def test_nothing_half_written_stays(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = itertools.count()
    write = Path.write_text

    def fail_at_the_fifth(self: Path, *args: object, **kwargs: object) -> int:
        if next(writes) == 4:
            raise OSError(28, "No space left on device")
        return write(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", fail_at_the_fifth)
    done = new("shape-tools")
    assert done.exit_code == 2
    assert "No space left on device" in done.stderr
    assert list(home.iterdir()) == []


def test_a_folder_that_can_not_be_made(home: Path) -> None:
    (home / "file").write_text("")
    done = new("shape-tools", "--directory", "file/shape-tools")
    assert done.exit_code == 2
    assert "can't be made: File exists" in done.stderr


def test_two_at_once_make_one(home: Path) -> None:
    names = names_for("shape-tools")
    pack_files.write_pack(home / "shape-tools", names, license="mit", author="")
    with pytest.raises(Conflict):
        pack_files.write_pack(home / "shape-tools", names, license="mit", author="")


def run(*command: str, cwd: Path, site: Path) -> str:
    """Run a tool of this environment on a pack; returns what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=["shape-tools", LONG], ids=["short", "long"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of a new pack, and the folder that it was installed into."""
    folder, site = tmp_path_factory.mktemp("work") / "pack", tmp_path_factory.mktemp("site")
    pack_files.write_pack(folder, names_for(request.param), license="apache-2.0", author="")
    pip = ("pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(site))
    run(*pip, str(folder), cwd=folder, site=site)
    return folder, site


def test_a_new_pack_passes_its_own_tests(installed: tuple[Path, Path]) -> None:
    folder, site = installed
    assert "4 passed" in run("pytest", "-q", "-p", "no:cacheprovider", cwd=folder, site=site)


def test_a_new_pack_passes_ruff(installed: tuple[Path, Path]) -> None:
    folder, site = installed
    run("ruff", "check", "--no-cache", cwd=folder, site=site)
    run("ruff", "format", "--check", "--no-cache", cwd=folder, site=site)


def test_a_new_pack_passes_its_check(installed: tuple[Path, Path]) -> None:
    folder, site = installed
    assert "All is well." in run("comfykernel_cli", "check", "--strict", ".", cwd=folder, site=site)


def test_the_wheel_of_a_new_pack_is_complete(installed: tuple[Path, Path]) -> None:
    _, site = installed
    (package,) = [path for path in site.iterdir() if (path / "plugin.py").is_file()]
    assert {path.name for path in package.iterdir()} >= {"__init__.py", "nodes.py", "plugin.py", "py.typed"}
    (info,) = site.glob("*.dist-info")
    assert (info / "licenses/LICENSE").is_file()
