"""The scheduler ``local`` keeps the contract with the kernel's own worker process and engine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from comfykernel_scheduler_local.plugin import make_scheduler
from comfykernel_sdk.scheduler import Scheduler, WorkerCommand
from comfykernel_sdk.testing.scheduler_conformance import SchedulerConformance

if TYPE_CHECKING:
    from comfykernel_sdk.settings import Settings

PACK = Path(__file__).with_name("conformance_pack")


@pytest.mark.e2e
class TestLocalSchedulerWithRealWorker(SchedulerConformance):
    @pytest.fixture(autouse=True)
    def installed_pack(self, tmp_path: Path) -> None:
        """An installed distribution is a module and a folder of metadata on the path."""
        metadata = tmp_path / "conformance_nodes-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: conformance-nodes\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[comfykernel.nodes]\nconformance = conformance_nodes\n")
        self.base = tmp_path
        self.path = os.pathsep.join([str(PACK), str(tmp_path)])

    def make_scheduler(self, settings: Settings) -> Scheduler:
        return make_scheduler(settings)

    def settings(self) -> Settings:
        settings = super().settings()
        settings.paths.base = str(self.base)
        return settings

    def worker_command(self, device: str) -> WorkerCommand:
        return WorkerCommand(
            argv=[sys.executable, "-m", "comfykernel_scheduler_local.worker"],
            env={
                "COMFYKERNEL_ENGINE": "comfykernel.engine:create_engine",
                "PYTHONPATH": self.path,
                "COMFYKERNEL_LOAD_PLUGINS": "conformance",
                "COMFYKERNEL_SETTINGS": msgspec.json.encode(self.settings()).decode(),
                "COMFYKERNEL_DEVICE": device,
            },
        )
