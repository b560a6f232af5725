"""Sampling runs: from a latent and conditions to a new latent."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.condition_areas import PlacedCondition, fitted_mask, place_conditions
from comfykernel_core_nodes.diffusion.condition_hooks import HookedNetwork
from comfykernel_core_nodes.diffusion.conditioning import Conditioning, Conditions
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.errors import LatentShapeError
from comfykernel_core_nodes.diffusion.finite_checks import check_output
from comfykernel_core_nodes.diffusion.guidance import (
    Guide,
    GuidedDenoiser,
    GuidedRun,
    classifier_free,
    stages_of,
)
from comfykernel_core_nodes.diffusion.guidance.stages import ChangeMask
from comfykernel_core_nodes.diffusion.image_fitting import repeated
from comfykernel_core_nodes.diffusion.memory import ModelMemory, default_memory
from comfykernel_core_nodes.diffusion.noise import start_noise
from comfykernel_core_nodes.diffusion.noise_paths import NoisePath, is_full_denoise
from comfykernel_core_nodes.diffusion.run_checks import check_inputs, check_result, check_run, levels_blamed
from comfykernel_core_nodes.diffusion.samplers import FRESH_MASK_NOISE, Denoiser, Guided, Sampler, find_sampler
from comfykernel_core_nodes.diffusion.schedules import sampler_sigmas, step_range
from comfykernel_sdk.families import NetworkInput, Run

logger = logging.getLogger(__name__)

# Called after each step with (step from 0, predicted clean latent, noisy latent, number of steps); may raise.
RunCallback = Callable[[int, Tensor, Tensor, int], None]
# Called before each model call; may raise.
Check = Callable[[], None]


def sample_latent(
    model: DiffusionModel,
    *,
    positive: Conditions,
    negative: Conditions,
    latent: Tensor,
    seed: int,
    steps: int,
    cfg: float,
    sampler: str,
    scheduler: str,
    denoise: float = 1.0,
    noise_mask: Tensor | None = None,
    batch_index: Sequence[int] | None = None,
    add_noise: bool = True,
    start_step: int = 0,
    end_step: int | None = None,
    force_full_denoise: bool = False,
    callback: RunCallback | None = None,
    check: Check | None = None,
    memory: ModelMemory | None = None,
) -> Tensor:
    """Run a named sampler over a named schedule; returns the new latent, float32 on the CPU.

    Parameters:
        latent: [batch, channel, height, width] in the autoencoder's scale.
        steps: of the whole schedule; `start_step` and `end_step` choose a part of it, and `force_full_denoise`
            makes a part that ends early finish at noise level 0.
        denoise: part of the way to go, 0..1.
        noise_mask: [height, width] or [batch, ..., height, width], 1 where the latent may change.
        batch_index: position of each row in the batch that its noise is drawn for.
        add_noise: False for a latent that is noisy already.
    Raises `UnknownSampler`, `UnknownSchedule`, `LatentShapeError`, and whatever `callback` or `check` raise.
    """
    chosen = find_sampler(sampler)
    latent = fitted_latent(model, latent)
    sigmas = sampler_sigmas(model.sampling.levels, scheduler, steps, sampler=sampler, denoise=denoise)
    if len(sigmas):
        sigmas = step_range(sigmas, start_step, end_step, full_denoise=force_full_denoise)
    noise = start_noise(latent, seed, batch_index) if add_noise else torch.zeros_like(latent, device="cpu")
    return sample(
        model,
        noise=noise,
        positive=positive,
        negative=negative,
        cfg=cfg,
        sampler=chosen,
        sigmas=sigmas,
        latent=latent,
        noise_mask=noise_mask,
        seed=seed,
        fresh_mask_noise=sampler in FRESH_MASK_NOISE,
        callback=callback,
        check=check,
        memory=memory,
    )


def sample(
    model: DiffusionModel,
    *,
    noise: Tensor,
    positive: Conditions,
    negative: Conditions,
    cfg: float,
    sampler: Sampler,
    sigmas: Tensor,
    latent: Tensor,
    seed: int,
    noise_mask: Tensor | None = None,
    fresh_mask_noise: bool = False,
    callback: RunCallback | None = None,
    check: Check | None = None,
    memory: ModelMemory | None = None,
) -> Tensor:
    """Run a sampler over given noise levels; an empty schedule gives the latent back.

    `fresh_mask_noise` keeps the unmasked part at other noise than the start noise. For the rest see `sample_latent`.
    """
    return sample_guided(
        model,
        [positive, negative],
        classifier_free,
        scale=cfg,
        noise=noise,
        sampler=sampler,
        sigmas=sigmas,
        latent=latent,
        seed=seed,
        noise_mask=noise_mask,
        fresh_mask_noise=fresh_mask_noise,
        callback=callback,
        check=check,
        memory=memory,
    )


def sample_guided(
    model: DiffusionModel,
    sides: Sequence[Conditions],
    guide: Guide,
    *,
    scale: float,
    noise: Tensor,
    sampler: Sampler,
    sigmas: Tensor,
    latent: Tensor,
    seed: int,
    noise_mask: Tensor | None = None,
    fresh_mask_noise: bool = False,
    callback: RunCallback | None = None,
    check: Check | None = None,
    memory: ModelMemory | None = None,
) -> Tensor:
    """The same for any number of sides of conditions, the positive one first, and any way to combine them.

    Raises `InvalidSchedule` for sigmas that are no numbers or that the sampler cannot follow, `InvalidLatent` for a
    latent with NaN, `LatentShapeError` and `CheckpointError`.
    """
    latent = fitted_latent(model, latent)
    if len(sigmas) < 2:
        logger.info("No step is left to sample: the latent is given back as it came.")
        return latent
    check_run(sigmas, noise, latent)
    memory = memory or default_memory()
    path, device = model.sampling.path, memory.device
    clean = latent.to(device, torch.float32)
    if clean.count_nonzero():
        clean = model.latent_format.to_model(clean)
    sigmas, noise = sigmas.to(device), noise.to(device, torch.float32)
    mask = None if noise_mask is None else _mask_like(noise_mask, clean)
    total = len(sigmas) - 1

    def step_done(step: int, denoised: Tensor, x: Tensor) -> None:
        if callback is not None:
            callback(step, denoised, x, total)

    def placed(conditions: Sequence[Conditions], first: int = 0) -> list[list[PlacedCondition]]:
        def read_side(condition: Conditioning, side: int) -> Mapping[str, NetworkInput]:
            return read(condition, first + side)

        height, width = latent.shape[-2:]
        return place_conditions(conditions, model.sampling.levels, height, width, read_side)

    with torch.inference_mode():
        read = read_inputs(model, noise, clean, mask, seed)
        placed_sides = placed(sides)
        run = GuidedRun(model, sigmas, lambda more: placed([more], len(sides))[0])
        stages = stages_of(model.guidance, run)
        call = HookedNetwork(model.ready(memory), run, memory)
        denoiser: Denoiser = GuidedDenoiser(call, placed_sides, scale, guide=guide, stages=stages, check=check)
        if model.denoiser is not None:
            negative = placed_sides[1] if len(sides) > 1 else []
            denoiser = model.denoiser(call, placed_sides[0], negative, scale, check=check)
        if mask is not None:
            kept = start_noise(clean, (seed + 1) % 2**64).to(device) if fresh_mask_noise else noise
            denoiser = MaskedDenoiser(denoiser, mask, clean, kept, path, stages.mask)
        x = path.add_noise(clean, noise, sigmas[0], full=is_full_denoise(model.sampling.sigma_max, sigmas))
        with levels_blamed(sigmas):
            result = sampler(denoiser, x, sigmas, path, seed, step_done)
        result = path.remove_scale(result, sigmas[-1])
    check_output(model.weights, result, "Sampling")
    check_result(result, sigmas)
    return model.latent_format.from_model(result).float().cpu().clone()


def read_inputs(
    model: DiffusionModel, noise: Tensor, latent: Tensor, mask: Tensor | None, seed: int = 0
) -> Callable[[Conditioning, int], Mapping[str, NetworkInput]]:
    """How conditions of each side become inputs of a model's network in one run; tensors as in `Run`."""

    def read(condition: Conditioning, side: int) -> Mapping[str, NetworkInput]:
        single = None if mask is None else mask[:, :1]
        reader = condition.model or model
        inputs = reader.read_condition(condition, Run(noise, latent, single, negative=side > 0, seed=seed))
        check_inputs(inputs, reader.weights.source.shapes, str(reader.weights.label), negative=side > 0)
        return inputs

    return read


def fitted_latent(model: DiffusionModel, latent: Tensor) -> Tensor:
    """The latent in the model's form: an empty one is taken for any model, whatever its number of channels.

    Raises `LatentShapeError` for a latent of another family.
    """
    channels, dimensions = model.latent_format.channels, model.latent_format.dimensions
    fits = latent.ndim == dimensions + 2 and latent.numel()
    if fits and latent.shape[1] != channels and not latent.count_nonzero():
        return latent.new_zeros(latent.shape[0], channels, *latent.shape[2:])
    if not fits or latent.shape[1] != channels:
        wanted = f"[batch, {channels}, {', '.join(['length', 'height', 'width'][-dimensions:])}]"
        raise LatentShapeError(
            f"Expected a latent {wanted}, got {list(latent.shape)}.", "The latent must come from the model's own VAE."
        )
    return latent


def _mask_like(mask: Tensor, latent: Tensor) -> Tensor:
    fitted = fitted_mask(mask, latent.shape[2], latent.shape[3]).to(latent.device)
    return repeated(fitted, len(latent)).expand_as(latent)


@dataclass(frozen=True, slots=True)
class MaskedDenoiser:
    """A denoiser that changes a latent only where a mask (0..1) allows; elsewhere the latent's own noise returns."""

    inner: Denoiser
    mask: Tensor
    latent: Tensor
    noise: Tensor
    path: NoisePath
    change_mask: Sequence[ChangeMask] = ()

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        mask = self._mask_at(sigma)
        return self._kept(self.inner(self._noisy(x, sigma, mask), sigma), mask)

    def guided(self, x: Tensor, sigma: Tensor) -> Guided:
        mask = self._mask_at(sigma)
        denoised, uncond = self.inner.guided(self._noisy(x, sigma, mask), sigma)
        return Guided(self._kept(denoised, mask), uncond)

    def _mask_at(self, sigma: Tensor) -> Tensor:
        mask = self.mask
        for change in self.change_mask:
            mask = change(mask, sigma)
        return mask

    def _noisy(self, x: Tensor, sigma: Tensor, mask: Tensor) -> Tensor:
        if x.shape != self.latent.shape:
            found = f"The sampler went on from {list(self.latent.shape)} to {list(x.shape)}, where no mask is."
            raise LatentShapeError(found, "A sampler that changes the size cannot keep a part of the latent.")
        return x * mask + self.path.add_noise(self.latent, self.noise, sigma) * (1.0 - mask)

    def _kept(self, denoised: Tensor, mask: Tensor) -> Tensor:
        return denoised * mask + self.latent * (1.0 - mask)
