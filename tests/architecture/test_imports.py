"""Who may import whom, and what the server process never loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SERVER = """
import asyncio, sys
from pathlib import Path
from comfykernel.server import running_server
from comfykernel_sdk.settings import HttpSettings, PathSettings, SchedulerSettings, Settings

async def main():
    settings = Settings(
        paths=PathSettings(base=sys.argv[1]), http=HttpSettings(port=0), scheduler=SchedulerSettings(devices=("cpu",))
    )
    async with running_server(settings):
        print(*sorted({name.partition(".")[0] for name in sys.modules}))

asyncio.run(main())
"""


@pytest.mark.e2e
def test_the_server_process_loads_no_torch_no_numpy_and_no_node_pack(tmp_path: Path) -> None:
    environ = {**os.environ, "COMFYKERNEL_LOAD_PLUGINS": ""}
    command = [sys.executable, "-c", SERVER, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environ, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert {"comfykernel", "comfykernel_storage_fs", "comfykernel_api_http"} <= loaded
    assert not loaded & {"torch", "numpy", "comfykernel_core_nodes", "safetensors", "tokenizers"}


def test_the_contracts_of_imports_hold() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
