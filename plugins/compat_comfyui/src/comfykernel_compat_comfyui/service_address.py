"""Where the part of this plugin in a worker listens for the part in the server: a socket file named by process id."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from comfykernel_sdk.errors import PluginError

OWN_PREFIX: Final = "/_comfykernel"
"""Addresses below it are no routes of packs."""
SPECS: Final = f"{OWN_PREFIX}/specs"
PROMPT: Final = f"{OWN_PREFIX}/prompt"
MESSAGES: Final = f"{OWN_PREFIX}/messages"


def socket_folder() -> Path:
    """A folder that only this user may enter; made when it is missing.

    Raises:
        PluginError: another user owns it.
    """
    # Not below the state folder: the path of a socket may have some 100 characters only.
    folder = Path(tempfile.gettempdir()) / f"comfykernel-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PluginError(f"The folder {folder} for sockets is open to others.", hint="Remove it and start again.")
    return folder


def socket_of(pid: int) -> Path:
    """The socket of the worker process with this number."""
    return socket_folder() / f"{pid}.sock"
