"""The log of a command."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from comfykernel_sdk.settings import LogSettings

LOG_FORMAT: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def set_up_logging(settings: LogSettings) -> None:
    """Log to the terminal in one form."""
    logging.basicConfig(
        level=settings.level.upper(),
        format=LOG_FORMAT,
        datefmt="%H:%M:%S",
        stream=sys.stdout if settings.to_stdout else sys.stderr,
        force=True,
    )
