"""The example that uses the diffusion library without a server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

EXAMPLE = Path(__file__).parents[2] / "examples" / "diffusion_library.py"


def test_it_draws_what_the_prompt_says(tmp_path: Path) -> None:
    picture = tmp_path / "circle.png"
    command = [sys.executable, str(EXAMPLE), "a red circle on the left, blue background", str(picture), "--steps", "8"]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    with Image.open(picture) as image:
        assert image.size == (256, 256)
        reds = [x for x in range(256) for y in range(256) if _is_red(image.getpixel((x, y)))]
    assert len(reds) > 1000
    assert sum(reds) / len(reds) < 128


def _is_red(pixel: object) -> bool:
    assert isinstance(pixel, tuple)
    return bool(pixel[0] > 180 and pixel[2] < 90)
