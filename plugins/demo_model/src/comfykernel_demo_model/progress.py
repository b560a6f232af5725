"""The state of a training run on disk, so that a stopped run goes on where it was."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import torch

# Steps between two saved states.
SAVE_EVERY = 250


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write the state; the file is replaced when the new one is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def load_state(path: Path) -> dict[str, Any] | None:
    """The saved state, or None at the start of a run."""
    return torch.load(path, weights_only=True) if path.exists() else None


def learning_rate(step: int, steps: int, *, peak: float, warm_up: int, last: float = 0.02) -> float:
    """Linear warm-up to `peak`, then half a cosine down to `last * peak`."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    part = min(1.0, (step - warm_up) / max(1, steps - warm_up))
    return peak * (last + (1 - last) * 0.5 * (1 + math.cos(math.pi * part)))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The same rate for all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate
