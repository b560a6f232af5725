"""What can be said about a run before and after it: schedules, latents and noise that make no sense."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.errors import (
    ConditionShapeError,
    InvalidLatent,
    InvalidSchedule,
    LatentShapeError,
)
from comfykernel_sdk.families import NetworkInput, PerRow, Shape, TokenSequence

# Input of a network -> what it is, and the endings of the weights that are multiplied with it first.
ENTRIES: Final = {
    "context": ("tokens", (".attn2.to_k.weight", "context_embedder.weight", "txt_in.weight")),
    "y": ("a pooled vector", ("label_emb.0.0.weight", "y_embedder.mlp.0.weight", "vector_in.in_layer.weight")),
}


def check_run(sigmas: Tensor, noise: Tensor, latent: Tensor) -> None:
    """Raise the error that says why a run over these levels makes no sense."""
    check_sigmas(sigmas)
    check_latent(latent)
    check_noise(noise, latent)


def check_sigmas(sigmas: Tensor) -> None:
    """Raise `InvalidSchedule` for levels that are no list of finite numbers from 0 up.

    They may rise: a run over rising levels adds noise.
    """
    if sigmas.ndim != 1:
        raise InvalidSchedule(f"Expected a list of sigmas, got a tensor of shape {list(sigmas.shape)}.")
    wrong = ~torch.isfinite(sigmas) | (sigmas < 0)
    if bool(wrong.any()):
        place = int(wrong.nonzero()[0])
        raise InvalidSchedule(
            f"Sigma {place} of {len(sigmas)} is {float(sigmas[place]):g}; every sigma must be a number from 0 up.",
            "Look at the scheduler node: too few steps or extreme options give such levels.",
        )


def check_latent(latent: Tensor) -> None:
    """Raise `InvalidLatent` for a latent with NaN or infinity."""
    wrong = int((~torch.isfinite(latent)).sum())
    if wrong:
        raise InvalidLatent(
            f"{wrong} of {latent.numel()} values of the latent are NaN or infinite, so nothing can be drawn over it.",
            "Look at what made the latent: a VAE in half precision often does that.",
        )


def check_noise(noise: Tensor, latent: Tensor) -> None:
    """Raise `LatentShapeError` for noise of another shape than the latent's."""
    if noise.shape != latent.shape:
        raise LatentShapeError(
            f"The noise has the shape {list(noise.shape)}, the latent {list(latent.shape)}.",
            "A latent's batch_index must name as many rows as the latent has.",
        )


def check_inputs(
    inputs: Mapping[str, NetworkInput], shapes: Mapping[str, Shape], model: str, *, negative: bool = False
) -> None:
    """Raise `ConditionShapeError` for a condition that was encoded by text models of another family.

    shapes: of the network's weights; model: its file.
    """
    for name, (what, endings) in ENTRIES.items():
        given = inputs.get(name)
        weight = next((shape for key, shape in shapes.items() if key.endswith(endings)), None)
        if weight is None or not isinstance(given, TokenSequence | PerRow):
            continue
        if given.value.shape[-1] != weight[1]:
            side = "negative" if negative else "positive"
            raise ConditionShapeError(
                f"The {side} condition has {what} of width {given.value.shape[-1]}; the model {model} takes width "
                f"{weight[1]}.",
                "Encode the prompt with the text model of the model's own family.",
            )


@contextmanager
def levels_blamed(sigmas: Tensor) -> Iterator[None]:
    """Raise `InvalidSchedule` where a sampler's arithmetic fails over levels that do not fall."""
    try:
        yield
    except (ArithmeticError, torch.linalg.LinAlgError):  # type: ignore[attr-defined]
        _check_falling(sigmas)
        raise
    except RuntimeError:
        # Draws of noise between levels fail over none; with levels above 0 the cause is the network.
        if not bool(sigmas.any()):
            _check_falling(sigmas)
        raise


def check_result(result: Tensor, sigmas: Tensor) -> None:
    """Raise `InvalidSchedule` for a result with NaN from levels that do not fall."""
    if bool(torch.isfinite(result).all()):
        return
    _check_falling(sigmas)


def _check_falling(sigmas: Tensor) -> None:
    rises = (sigmas[1:] >= sigmas[:-1]).nonzero()
    if len(rises):
        place = int(rises[0])
        raise InvalidSchedule(
            f"The result is no picture: sigma does not fall from {float(sigmas[place]):g} (step {place}) "
            f"to {float(sigmas[place + 1]):g}, and this sampler cannot follow that.",
            "Use falling sigmas, or the sampler euler, which can add noise as well.",
        )
