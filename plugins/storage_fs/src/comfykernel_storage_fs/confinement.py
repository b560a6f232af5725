"""Relative paths from outside become paths inside one folder, or an error."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from comfykernel_sdk.errors import Forbidden, InvalidPath


def inside(root: Path, parts: list[str]) -> Path:
    """The path below ``root``, links resolved; it need not exist.

    Raises:
        Forbidden: a link leads outside.
        InvalidPath: links lead in a ring.
    """
    real_root = os.path.realpath(root)
    path = os.path.realpath(os.path.join(real_root, *parts))
    try:
        os.stat(path)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InvalidPath("The path can't be followed.", details=str(error)) from error
    if path != real_root and not path.startswith(os.path.join(real_root, "")):
        raise Forbidden("The path leads outside its folder by a link.", details="/".join(parts), type="path_outside")
    return Path(path)
