"""Devices are found without torch: by the driver's tool, its entries, and the environment."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest

from comfykernel_scheduler_local.devices import count_cuda_devices, find_devices
from comfykernel_sdk.settings import ExecutionSettings, SchedulerSettings, Settings

LISTING = "GPU 0: A (UUID: GPU-1)\n  MIG 1g.5gb Device 0: (UUID: MIG-1)\nGPU 1: A (UUID: GPU-2)\n"


@pytest.fixture
def tool(tmp_path: Path) -> str:
    path = tmp_path / "driver-tool"
    path.write_text(f"#!/bin/sh\nprintf '{LISTING}'\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    for name in ("0000:01:00.0", "0000:02:00.0", "0000:03:00.0"):
        (tmp_path / "gpus" / name).mkdir(parents=True)
    return tmp_path / "gpus"


async def test_the_driver_counts_whole_cards(tool: str, cards: Path) -> None:
    assert await count_cuda_devices({}, tool=tool, cards=cards) == 2


async def test_without_the_tool_the_entries_count(tmp_path: Path, cards: Path) -> None:
    missing = str(tmp_path / "missing")
    assert await count_cuda_devices({}, tool=missing, cards=cards) == 3
    assert await count_cuda_devices({}, tool=missing, cards=tmp_path / "none") == 0


async def test_a_tool_that_fails_leaves_it_to_the_entries(tmp_path: Path, cards: Path) -> None:
    failing = tmp_path / "failing"
    failing.write_text("#!/bin/sh\nexit 9\n")
    failing.chmod(0o755)
    assert await count_cuda_devices({}, tool=str(failing), cards=cards) == 3


async def test_a_tool_that_hangs_counts_as_no_card(
    tmp_path: Path, cards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfykernel_scheduler_local.devices.DRIVER_TIMEOUT_S", 0.05)
    hanging = tmp_path / "hanging"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    assert await count_cuda_devices({}, tool=str(hanging), cards=cards) == 0


@pytest.mark.parametrize(
    ("visible", "count"), [("", 0), ("-1", 0), ("1", 1), ("0,1,2", 3), ("2, 0,-1,1", 2), ("0,1,2,3,4", 3)]
)
async def test_the_environment_limits_what_is_seen(visible: str, count: int, cards: Path, tmp_path: Path) -> None:
    environ = {"CUDA_VISIBLE_DEVICES": visible}
    assert await count_cuda_devices(environ, tool=str(tmp_path / "missing"), cards=cards) == count


def settings(*devices: str, cpu: bool = False) -> Settings:
    return Settings(scheduler=SchedulerSettings(devices=devices), execution=ExecutionSettings(cpu=cpu))


async def test_named_devices_are_taken_as_they_are() -> None:
    assert await find_devices(settings("cuda:1", "cpu", "cpu")) == ["cuda:1", "cpu", "cpu"]


async def test_without_accelerators_only_cpu_workers_are_left() -> None:
    assert await find_devices(settings("auto", cpu=True)) == ["cpu"]
    assert await find_devices(settings("cuda:0", "cpu", "cpu", cpu=True)) == ["cpu", "cpu"]


@pytest.mark.parametrize(
    ("version", "cards", "devices"),
    [("2.8.0+cpu", 2, ["cpu"]), ("2.8.0", 2, ["cuda:0", "cuda:1"]), ("2.8.0+cu128", 0, ["cpu"])],
)
async def test_auto_takes_every_card_that_torch_can_use(version: str, cards: int, devices: list[str]) -> None:
    with (
        mock.patch("comfykernel_scheduler_local.devices.metadata.version", return_value=version),
        mock.patch("comfykernel_scheduler_local.devices.count_cuda_devices", return_value=cards),
    ):
        assert await find_devices(settings("auto")) == devices
        assert await find_devices(settings()) == devices
