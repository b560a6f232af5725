"""LoRAs taken from a model whose weights are a difference: the best low-rank approximation of each matrix.

By singular values (Eckart and Young 1936); extreme values are clamped, as in kohya's extraction script.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.errors import DiffusionError
from comfykernel_core_nodes.diffusion.safetensors_stream import Entry, given
from comfykernel_core_nodes.diffusion.weights import Weights

# Part of the factors' values that stays as it is; larger ones are clamped.
KEPT_SHARE: Final = 0.99
# `torch.quantile` takes no more values; of larger tensors an even sample is enough.
MOST_QUANTILE_VALUES: Final = 2**24
PRECISION: Final = torch.float16
# How LoRA files name a whole difference: ending of the weight -> ending there.
VECTOR_ENDINGS: Final = {"weight": ".diff", "bias": ".diff_b"}
# The name that LoRA files have for a module of the network.
Named = Callable[[str], str]
CPU: Final = torch.device("cpu")


class ExtractionError(DiffusionError, ValueError):
    """Raised when a weight has no decomposition."""

    type = "invalid_weights"


def lora_entries(weights: Weights[nn.Module], named: Named, rank: int, *, biases: bool) -> Iterator[Entry]:
    """The tensors of a LoRA: two factors of each matrix or kernel, and with `biases` the vectors as they are."""
    for name, shape in weights.source.shapes.items():
        module, _, ending = name.rpartition(".")
        if ending == "weight" and len(shape) >= 2:
            up, down = factors(_value(weights, name), rank, name)
            yield given(f"{named(module)}.lora_up.weight", up)
            yield given(f"{named(module)}.lora_down.weight", down)
        elif biases and ending in VECTOR_ENDINGS:
            yield given(named(module) + VECTOR_ENDINGS[ending], _value(weights, name).to(PRECISION))


def difference_entries(weights: Weights[nn.Module], named: Named, *, biases: bool) -> Iterator[Entry]:
    """The whole differences, as LoRA files may hold them."""
    for name, shape in weights.source.shapes.items():
        module, _, ending = name.rpartition(".")
        if ending == "weight" or (biases and ending in VECTOR_ENDINGS):
            yield Entry(named(module) + VECTOR_ENDINGS[ending], PRECISION, shape, partial(_value, weights, name))


def factors(difference: Tensor, rank: int, name: str = "") -> tuple[Tensor, Tensor]:
    """`up` and `down` of a matrix [out, in] or a kernel [out, in, height, width], whose product is near it."""
    out, into, *kernel = difference.shape
    rank = min(rank, out, into)
    try:
        u, values, v = torch.linalg.svd(difference.float().flatten(1), full_matrices=False)
    except RuntimeError as error:
        message = f"The weight {name!r} has no singular values: {error}."
        raise ExtractionError(message, "It holds NaN or infinity, or the model is no difference.") from error
    up, down = u[:, :rank] * values[:rank], v[:rank]
    limit = _quantile(torch.cat([up.flatten(), down.flatten()]))
    up, down = (each.clamp(-limit, limit).to(PRECISION) for each in (up, down))
    return up.reshape(out, rank, *[1] * len(kernel)), down.reshape(rank, into, *kernel)


def _quantile(values: Tensor) -> float:
    stride = -(-len(values) // MOST_QUANTILE_VALUES)
    return float(torch.quantile(values[::stride], KEPT_SHARE))


def _value(weights: Weights[nn.Module], name: str) -> Tensor:
    with torch.inference_mode(mode=False), torch.no_grad():
        return weights.patched(name, CPU, torch.float32)
