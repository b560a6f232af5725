"""Why a result holds NaN or infinity: weights of the file, patches laid over them, or what the network was given."""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.errors import CheckpointError
from comfykernel_core_nodes.diffusion.weights import Weights

logger = logging.getLogger(__name__)


def is_finite(values: Tensor) -> bool:
    """Whether no value is NaN or infinite."""
    return bool(torch.isfinite(values).all())


def check_output(weights: Weights[nn.Module], output: Tensor, doing: str) -> None:
    """Raise `CheckpointError` when an output is not finite because the weights that made it are not.

    doing: what the network did, for the log line that tells of an output without a known cause.
    """
    if is_finite(output):
        return
    if names := weights.not_finite():
        message = f"has {len(names)} tensors with NaN or infinity, such as {names[0]!r}."
        raise CheckpointError(weights.label, message, "Download the file again, or use another one.")
    cpu = torch.device("cpu")
    broken = [name for name in weights.patches if not is_finite(weights.patched(name, cpu, torch.float32))]
    if broken:
        message = f"has {len(broken)} tensors that a LoRA or another patch turns into NaN, such as {broken[0]!r}."
        raise CheckpointError(weights.label, message, "Leave the patch out, or lower its strength.")
    wrong = int((~torch.isfinite(output)).sum())
    logger.warning(
        "%s by %s gave %d of %d values that are NaN or infinite; with weights in half precision, fp32 often helps.",
        doing, weights.label, wrong, output.numel(),
    )  # fmt: skip
