"""Whether the command line was read."""

from __future__ import annotations

args_parsing = False


def enable_args_parsing(enable: bool = True) -> None:
    """Note that it is to be read; here the settings decide."""
    global args_parsing
    args_parsing = enable
