"""The scheduler ``local`` keeps the contract of schedulers."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from comfykernel_scheduler_local.plugin import make_scheduler
from comfykernel_sdk.scheduler import Scheduler, WorkerCommand
from comfykernel_sdk.testing.scheduler_conformance import SchedulerConformance

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from comfykernel_sdk.settings import Settings

SCRIPT = Path(__file__).with_name("scripted_worker.py")


class TestLocalScheduler(SchedulerConformance):
    def make_scheduler(self, settings: Settings) -> Scheduler:
        return make_scheduler(settings)

    def worker_command(self, device: str) -> WorkerCommand:
        return WorkerCommand(argv=[sys.executable, str(SCRIPT)], env={})


class TestLocalSchedulerOnUvloop(TestLocalScheduler):
    def run_loop(self, test: Awaitable[None]) -> None:
        async def main() -> None:
            await test

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
