"""The example family is installed as a stranger's would be, and its checkpoint is sampled from by ordinary nodes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import PIL.Image
import pytest

pytestmark = pytest.mark.e2e

FAMILY = Path(__file__).parents[2] / "examples/model_family"
WORKFLOW = FAMILY / "workflow.json"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that has the family installed."""
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(site), str(FAMILY)], check=True, capture_output=True)
    return {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}


def test_its_checkpoint_is_sampled_from(environment: dict[str, str], tmp_path: Path) -> None:
    checkpoints = tmp_path / "models/checkpoints"
    checkpoints.mkdir(parents=True)
    write = [sys.executable, "-m", "comfykernel_colour_family", str(checkpoints / "colours.safetensors")]
    subprocess.run(write, env=environment, check=True, capture_output=True)
    command = [sys.executable, "-m", "comfykernel_cli", "run", str(WORKFLOW), "--cpu", "--json"]
    done = subprocess.run(
        [*command, "--base-directory", str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (file,) = json.loads(done.stdout)["files"]
    with PIL.Image.open(file["path"]) as picture:
        assert picture.size == (64, 32)
        assert picture.getpixel((0, 16)) == (255, 0, 0)
        assert min(picture.getpixel((63, 16))) > 250
