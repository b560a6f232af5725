"""What is said when a pack asks for a name that has no meaning here: the pack, the name, what to do."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import FrameType
from typing import Final

OWN_FOLDER: Final = str(Path(__file__).parent)
ADVICE: Final = (
    "Only the nodes that use it fail. Use a node of comfykernel for this step, or a version of the pack that does "
    "without it."
)

pack_folders: dict[str, str] = {}
"""Folder or file of a pack -> its name, filled while packs are loaded."""


class NotProvided(NotImplementedError):
    """Raised when a pack calls something that has no meaning in comfykernel."""


def asking_pack() -> str | None:
    """The name of the pack whose code is nearest on the stack."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        for folder, name in pack_folders.items():
            if path == folder or path.startswith(folder + "/"):
                return name
        frame = frame.f_back
    return None


def explain_import(error: ImportError, pack: str) -> None:
    """Add the advice to ``from module import name`` that failed: Python drops what the module says."""
    module = (error.name or "").removeprefix(f"{__package__}.shims.")
    found = re.match(r"cannot import name '(\w+)'", error.msg)
    if found is not None and module != error.name:
        error.add_note(missing_text(f"{module}.{found[1]}", pack))


def missing_text(name: str, pack: str | None = None) -> str:
    """One sentence and the advice."""
    pack = pack or asking_pack()
    who = f"The node pack {pack!r}" if pack else "A node pack"
    return f"{who} asks for {name}, which comfykernel does not provide. {ADVICE}"


def missing_module(name: str) -> ModuleNotFoundError:
    """The error of an import."""
    return ModuleNotFoundError(missing_text(name), name=name)


def missing_attribute(module: str, attribute: str) -> AttributeError:
    """The error of a lookup."""
    return AttributeError(missing_text(f"{module}.{attribute}"), name=attribute)


def not_provided(name: str) -> NotProvided:
    """The error of a call."""
    return NotProvided(missing_text(name))
