"""One server for all clients, with the test nodes, and a way to run a published client as a program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.e2e.conftest import Server

HERE = Path(__file__).parent
INSTALLED = Path(os.environ.get("COMFYKERNEL_CLIENTS", Path(sys.prefix) / "clients"))
"""Where `make install` puts the published clients."""
RUN_S = 120.0

Drive: TypeAlias = Callable[[str, str, object], Any]


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory, contract_site: Path) -> Iterator[Server]:
    """A server that runs for all tests of a module."""
    server = Server(tmp_path_factory.mktemp("clients"), contract_site)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def drive(shared_server: Server, tmp_path: Path) -> Drive:
    """``drive(client, behaviour, argument)``: what the client returned; of a run its pictures."""

    def run(client: str, behaviour: str, argument: object) -> Any:
        (tmp_path / "argument.json").write_text(json.dumps(argument))
        path = os.pathsep.join([str(HERE), str(INSTALLED)])
        done = subprocess.run(
            [sys.executable, str(HERE / "drive.py"), client, behaviour, shared_server.url, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": path, "NO_PROXY": "*"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        result = json.loads((tmp_path / "result.json").read_text())
        return (
            [(tmp_path / f"picture{number}").read_bytes() for number in range(result)] if behaviour == "run" else result
        )

    return run
