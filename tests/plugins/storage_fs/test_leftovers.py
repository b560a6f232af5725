"""What a killed process has left in the middle of writing a file goes; what somebody writes stays."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from comfykernel_sdk.settings import PathSettings, Settings
from comfykernel_storage_fs import leftovers
from comfykernel_storage_fs.leftovers import remove_leftovers
from comfykernel_storage_fs.plugin import make_storage

KILLED = """
import os, signal
from pathlib import Path
from comfykernel_storage_fs import atomic_write
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
atomic_write.replace_file(Path("{path}"), b"half")
"""


def killed_while_writing(path: Path) -> Path:
    """The hidden file that a process leaves which is killed before the file gets its name."""
    process = subprocess.run([sys.executable, "-c", KILLED.format(path=path)], check=False)
    assert process.returncode < 0
    (left,) = path.parent.glob(".comfykernel-*.part")
    return left


def aged(path: Path, seconds: float) -> Path:
    os.utime(path, times=(time.time() - seconds,) * 2)
    return path


def test_leftovers_of_dead_processes_go(tmp_path: Path) -> None:
    left = killed_while_writing(tmp_path / "output" / "sub" / "a.png")
    assert remove_leftovers([tmp_path]) == 0, "it may still be written on another machine"
    aged(left, 120)
    other = tmp_path / "output" / "kept.part"
    other.write_bytes(b"x")
    aged(other, 10**6)
    assert remove_leftovers([tmp_path, tmp_path / "nowhere"]) == 1
    assert [path.name for path in (tmp_path / "output").rglob("*")] == ["sub", "kept.part"]


@pytest.mark.parametrize(("age_s", "stays"), [(120, True), (2 * 24 * 3600, False)])
def test_what_a_living_process_writes_stays_for_a_day(tmp_path: Path, age_s: float, stays: bool) -> None:
    written = aged_file = tmp_path / f".comfykernel-{os.getpid()}-0123456789abcdef.part"
    written.write_bytes(b"x")
    aged(aged_file, age_s)
    remove_leftovers([tmp_path])
    assert written.exists() is stays


def test_a_server_looks_for_leftovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "AFTER_S", 0.01)
    storage = make_storage(Settings(paths=PathSettings(base=str(tmp_path))))
    left = [aged(killed_while_writing(tmp_path / name / "a.png"), 120) for name in ("input", "output", "user")]

    async def open_and_close() -> None:
        await (await storage.open_jobs()).close()

    asyncio.run(open_and_close())
    deadline = time.monotonic() + 10
    while any(path.exists() for path in left) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(path.exists() for path in left)
