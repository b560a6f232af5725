"""Conditions pass a network together as far as memory allows: apart, they give the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.memory import first_that_fits

if TYPE_CHECKING:
    from comfykernel_core_nodes.diffusion.guidance.predictions import Batch
    from comfykernel_core_nodes.diffusion.memory import ModelMemory


def pass_in_room(call: Callable[[Batch], Tensor], batch: Batch, memory: ModelMemory) -> Tensor:
    """The rows that a model gives for a batch, in as few passes as there is room for.

    What a pass needs is estimated from its shape; where memory is out all the same, each condition passes alone.
    Raises `OutOfMemory`.
    """
    count = len(batch.conditions)
    if count > 1:
        fitting = memory.rows_at_once(batch.x.shape[1:]) // max(1, batch.rows)
        ways = [("fewer conditions at once", lambda: _passed(call, batch, min(count, max(1, fitting))))]
        if fitting > 1:
            ways.append(("one condition at a time", lambda: _passed(call, batch, 1)))
    else:
        ways = [("it", lambda: call(batch))] * 2
    return first_that_fits(memory, "sampling", ways)


def _passed(call: Callable[[Batch], Tensor], batch: Batch, conditions: int) -> Tensor:
    if conditions >= len(batch.conditions):
        return call(batch)
    return torch.cat([call(part) for part in split_batch(batch, conditions)])


def split_batch(batch: Batch, conditions: int) -> Iterator[Batch]:
    """Batches of at most so many conditions, in order."""
    rows = batch.rows * conditions
    for number, start in enumerate(range(0, len(batch.conditions), conditions)):
        end, row = start + conditions, number * rows
        yield replace(
            batch,
            conditions=batch.conditions[start:end],
            sides=batch.sides[start:end],
            x=batch.x[row : row + rows],
            sigma=batch.sigma[row : row + rows],
        )
