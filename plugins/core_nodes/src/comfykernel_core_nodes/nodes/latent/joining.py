"""Nodes that join, cut and reorder latents."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Annotated, Final

import torch
from torch import Tensor
from torch.nn import functional

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.image.channels import cycled
from comfykernel_core_nodes.nodes.latent.arithmetic import Samples, fitted
from comfykernel_core_nodes.nodes.latent.shapes import PIXELS_PER_LATENT
from comfykernel_core_nodes.nodes.sockets import MAX_SIDE
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Choice, Int, Latent, LatentDict

latent_node = extra_node("nodes_latent")
rebatch_node = extra_node("nodes_rebatch")

DIMENSIONS: Final = {"x": -1, "y": -2, "t": -3}
"""Width, height, and what stands before them: frames, or the channels of pictures."""


@latent_node("LatentBatch", category="latent/batch", deprecated=False, experimental=False, api_node=False)
def latent_batch(samples1: Samples, samples2: Samples) -> Latent:
    """Join two batches; the second is resized to the first. Batch indices are kept."""
    a, b = samples1["samples"], samples2["samples"]
    indices = _indices(samples1) + _indices(samples2)
    return {**samples1, "samples": torch.cat([a, fitted(b, a).to(a)]), "batch_index": indices}


def _indices(latent: LatentDict, offset: int = 0) -> list[int]:
    known = latent.get("batch_index")
    return list(range(offset, offset + len(latent["samples"]))) if known is None else list(known)


@latent_node(
    "LatentBatchSeedBehavior", category="latent/advanced", deprecated=False, experimental=False, api_node=False
)
def latent_batch_seed_behavior(
    samples: Samples, seed_behavior: Annotated[str, Choice("random", "fixed", default="fixed")]
) -> Latent:
    """Let all samples of a batch have the same noise (fixed), or each its own (random)."""
    if seed_behavior == "fixed":
        first = (samples.get("batch_index") or [0])[0]
        return {**samples, "batch_index": [first] * len(samples["samples"])}
    result: LatentDict = {**samples}
    result.pop("batch_index", None)
    return result


@latent_node("LatentConcat", category="latent/advanced", deprecated=False, experimental=False, api_node=False)
def latent_concat(
    samples1: Samples, samples2: Samples, dim: Annotated[str, Choice("x", "-x", "y", "-y", "t", "-t")]
) -> Latent:
    """Put two latents side by side (x), one below the other (y) or one behind the other (t); ``-`` exchanges them.

    Raises:
        BadInput: their other sides differ.
    """
    a = samples1["samples"]
    b = cycled(samples2["samples"], len(a)).to(a)
    along = DIMENSIONS[dim.removeprefix("-")]
    sides = [[side for i, side in enumerate(t.shape) if i != t.ndim + along] for t in (a, b)]
    if sides[0] != sides[1]:
        raise BadInput(
            f"Latents of the shapes {list(a.shape)} and {list(b.shape)} can't be joined along {dim}.",
            type="latent_sizes", hint="All their other sides must be the same.",
        )  # fmt: skip
    return {**samples1, "samples": torch.cat([b, a] if dim.startswith("-") else [a, b], dim=along)}


@latent_node("LatentCut", category="latent/advanced", deprecated=False, experimental=False, api_node=False)
def latent_cut(
    samples: Samples,
    dim: Annotated[str, Choice(*DIMENSIONS)],
    index: Annotated[int, Int(default=0, min=-MAX_SIDE, max=MAX_SIDE, step=1)],
    amount: Annotated[int, Int(default=1, min=1, max=MAX_SIDE, step=1)],
) -> Latent:
    """Take some columns (x), rows (y) or frames (t); a negative index counts from the end.

    A place outside is moved to the nearest one inside, and what lies outside is left away.
    """
    tensor, along = samples["samples"], DIMENSIONS[dim]
    size = tensor.shape[along]
    start = min(index, size - 1) if index >= 0 else max(size + index, 0)
    return {**samples, "samples": tensor.narrow(along, start, min(amount, size - start))}


@latent_node("LatentCutToBatch", category="latent/advanced")
def latent_cut_to_batch(
    samples: Samples,
    dim: Annotated[str, Choice("t", "x", "y")],
    slice_size: Annotated[int, Int(default=1, min=1, max=MAX_SIDE, step=1)],
) -> Latent:
    """Cut latents into slices and put these into one batch; a remainder is left away.

    Frames (t) are those of videos: pictures have none and stay as they are.
    """
    tensor = samples["samples"]
    along = tensor.ndim + DIMENSIONS[dim]
    if along < 2:
        return samples
    size = min(slice_size, tensor.shape[along])
    count = tensor.shape[along] // size
    slices = tensor.narrow(along, 0, count * size).split_with_sizes([size] * count, dim=along)
    return {"samples": torch.stack(slices, dim=1).flatten(0, 1)}


@rebatch_node(
    "RebatchLatents", category="latent/batch", display_name="Rebatch Latents", input_is_list=True,
    deprecated=False, experimental=False, api_node=False,
)  # fmt: skip
def rebatch_latents(
    latents: list[Samples], batch_size: list[Annotated[int, Int(default=1, min=1, max=4096)]]
) -> list[Latent]:
    """Put the samples of all batches into batches of one size; latents of another size start a new batch."""
    groups = groupby(_numbered(latents), key=lambda latent: latent["samples"].shape[1:])
    return [part for _, same in groups for part in _split(list(same), batch_size[0])]


def _numbered(latents: list[LatentDict]) -> Iterator[LatentDict]:
    """Latents with the indices and masks that each sample has, also where they said none."""
    offset = 0
    for latent in latents:
        yield {**latent, "batch_index": _indices(latent, offset), "noise_mask": _mask(latent)}
        offset += len(latent["samples"])


def _mask(latent: LatentDict) -> Tensor:
    """The noise mask [batch, 1, height, width] in pixels; ones where there is none."""
    samples, mask = latent["samples"], latent.get("noise_mask")
    size = [side * PIXELS_PER_LATENT for side in samples.shape[-2:]]
    if mask is None:
        return torch.ones(len(samples), 1, *size)
    mask = mask.reshape(-1, 1, *mask.shape[-2:])
    if list(mask.shape[-2:]) != size:
        mask = functional.interpolate(mask, size=size, mode="bilinear")
    return cycled(mask, len(samples))


def _split(latents: list[LatentDict], size: int) -> Iterator[LatentDict]:
    samples = torch.cat([latent["samples"] for latent in latents])
    masks = torch.cat([latent["noise_mask"] for latent in latents])
    indices = [index for latent in latents for index in latent["batch_index"]]
    for start in range(0, len(samples), size):
        part = slice(start, start + size)
        result: LatentDict = {"samples": samples[part], "batch_index": indices[part]}
        if bool((masks[part] != 1.0).any()):
            result["noise_mask"] = masks[part]
        yield result
