"""The built distributions alone: what is in the wheels, and a server that runs from them."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

import pytest

from .conftest import Server

ROOT = Path(__file__).parents[2]
PROJECTS = sorted(file.parent for pattern in ("*", "plugins/*") for file in ROOT.glob(f"{pattern}/pyproject.toml"))
OUTSIDE = frozenset({"__pycache__", ".mypy_cache", ".ruff_cache"})

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels of all distributions, the one that stands for the set too."""
    folder = tmp_path_factory.mktemp("wheels")
    projects = [str(project) for project in (*PROJECTS, ROOT)]
    pip("wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder), *projects)
    return folder


@pytest.fixture(scope="module")
def environment(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with the wheels; other libraries are those that are installed here."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = str(folder / "bin" / "python")
    pip("--python", python, "install", "--quiet", "--no-deps", "--no-index", *map(str, wheels.glob("*.whl")))
    (site,) = (folder / "lib").glob("python*/site-packages")
    # A path in a .pth file is searched, but .pth files there are not read: nothing comes from the working tree.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    return folder


@pytest.fixture
def server(environment: Path, contract_site: Path, tmp_path: Path) -> Iterator[Server]:
    """A server that runs from the wheels, in a folder of its own."""
    server = Server(tmp_path, contract_site, python=environment / "bin" / "python")
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_a_wheel_holds_every_file_of_its_packages(wheels: Path, project: Path) -> None:
    source = project / "src"
    wanted = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and not OUTSIDE & {*path.parts}
    }
    name = tomllib.loads((project / "pyproject.toml").read_text())["project"]["name"].replace("-", "_")
    (wheel,) = wheels.glob(f"{name}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        described = HeaderParser().parsestr(archive.read(metadata).decode())
    assert names == wanted
    assert described["License-Expression"] == "Apache-2.0"
    assert described.get_payload().strip(), "the page of the distribution"


def test_the_set_names_every_default_plugin(environment: Path) -> None:
    found = subprocess.run(
        [environment / "bin" / "comfykernel", "plugins"], capture_output=True, text=True, check=True, cwd=environment
    )
    for name in ("http", "local", "fs", "core", "demo_model", "web_official"):
        assert name in found.stdout
    assert "failed" not in found.stdout


def test_a_server_from_wheels_draws_a_picture_and_shows_the_page(server: Server, environment: Path) -> None:
    where = "import comfykernel, comfykernel_sdk; print(comfykernel.__file__, comfykernel_sdk.__file__)"
    found = subprocess.run(
        [environment / "bin" / "python", "-c", where], capture_output=True, text=True, check=True, cwd=environment
    )
    assert all(Path(file).is_relative_to(environment) for file in found.stdout.split())
    assert "comfyui" in server.http.get("/").text.lower()
    assert server.http.get("/extensions/comfykernel/default_graph.js").status_code == 200
    assert server.http.get("/openapi.json").json()["paths"]
    loader = server.http.get("/object_info/CheckpointLoaderSimple").json()["CheckpointLoaderSimple"]
    assert "demo.safetensors" in loader["input"]["required"]["ckpt_name"][0]
    graph = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "demo.safetensors"}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "a red circle"}},
        "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "4": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["1", 0], "positive": ["2", 0], "negative": ["2", 0], "latent_image": ["3", 0], "seed": 1,
                "steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
            },
        },
        "5": {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["1", 2]}},
        "6": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "wheels"}},
    }  # fmt: skip
    entry = server.history(server.post(graph))
    assert entry["status"]["completed"] is True, entry["status"]
    (image,) = entry["outputs"]["6"]["images"]
    assert server.http.get("/view", params=image).content.startswith(b"\x89PNG")
