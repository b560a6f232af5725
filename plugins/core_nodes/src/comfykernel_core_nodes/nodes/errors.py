"""The border where errors of the diffusion library become errors of the sdk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from comfykernel_core_nodes.diffusion.errors import CheckpointError, DiffusionError
from comfykernel_sdk.errors import BadInput, ModelFileError


@contextmanager
def reported() -> Iterator[None]:
    """Map the diffusion library's errors to the sdk's, with their type and hint."""
    try:
        yield
    except CheckpointError as error:
        raise ModelFileError(
            error.message, hint=error.hint, type=error.type, extra_info={"path": error.path}
        ) from error
    except DiffusionError as error:
        raise BadInput(error.message, hint=error.hint, type=error.type) from error


def missing_part(part: str, remedy: str) -> BadInput:
    """The error for a model that a checkpoint did not hold: ``part`` names it, ``remedy`` is what the user can do."""
    message = f"There is no {part}: the checkpoint that it should come from holds none."
    return BadInput(message, type="missing_model_part", hint=remedy)
