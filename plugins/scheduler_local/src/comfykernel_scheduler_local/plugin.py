"""The door to the kernel: offers the scheduler ``local``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykernel_sdk.hooks import hookimpl

if TYPE_CHECKING:
    from comfykernel_sdk.hooks import RegisterScheduler
    from comfykernel_sdk.scheduler import Scheduler
    from comfykernel_sdk.settings import Settings


def make_scheduler(settings: Settings) -> Scheduler:
    """A scheduler with one worker process for each device of ``settings.scheduler.devices``."""
    from .scheduler import LocalScheduler

    return LocalScheduler(settings)


@hookimpl
def register_schedulers(register: RegisterScheduler) -> None:
    """Offer the scheduler ``local``."""
    register("local", make_scheduler)
