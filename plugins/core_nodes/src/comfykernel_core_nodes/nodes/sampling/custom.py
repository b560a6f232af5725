"""Nodes that run a sampler over a schedule."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from comfykernel_core_nodes.diffusion.guiders import Guider as RunGuider
from comfykernel_core_nodes.diffusion.guiders import cfg_guider
from comfykernel_core_nodes.diffusion.samplers import Sampler, keeps_fresh_noise
from comfykernel_core_nodes.diffusion.sampling import fitted_latent
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.sampling.guiders import Guider
from comfykernel_core_nodes.nodes.sampling.ksampler import progress_reporter
from comfykernel_core_nodes.nodes.sampling.noise import Noise, NoiseSource, NoNoise, SeededNoise
from comfykernel_core_nodes.nodes.sampling.widgets import SamplerValue, Sigmas
from comfykernel_core_nodes.nodes.sockets import Conditions, Guidance, Model, Seed
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.sockets import Latent, LatentDict, Out, Toggle

CATEGORY = "sampling/custom_sampling"

_node = extra_node("nodes_custom_sampler")


@_node("SamplerCustom", category=CATEGORY, display_name="SamplerCustom")
def sampler_custom(
    context: NodeContext,
    model: Model,
    add_noise: Annotated[bool, Toggle(default=True)],
    noise_seed: Seed,
    cfg: Guidance,
    positive: Conditions,
    negative: Conditions,
    sampler: SamplerValue,
    sigmas: Sigmas,
    latent_image: Latent,
) -> tuple[Annotated[Latent, Out("output")], Annotated[Latent, Out("denoised_output")]]:
    """Sample over any schedule; the second output is the prediction of the last step, without noise."""
    noise: NoiseSource = SeededNoise(noise_seed) if add_noise else NoNoise(noise_seed)
    return run_guider(context, cfg_guider(model, positive, negative, cfg), noise, sampler, sigmas, latent_image)


@_node("SamplerCustomAdvanced", category=CATEGORY, display_name="SamplerCustomAdvanced")
def sampler_custom_advanced(
    context: NodeContext, noise: Noise, guider: Guider, sampler: SamplerValue, sigmas: Sigmas, latent_image: Latent
) -> tuple[Annotated[Latent, Out("output")], Annotated[Latent, Out("denoised_output")]]:
    """Sample with parts that are chosen one by one: noise, guidance, method and schedule."""
    return run_guider(context, guider, noise, sampler, sigmas, latent_image)


def run_guider(
    context: NodeContext,
    guider: RunGuider,
    noise: NoiseSource,
    sampler: Sampler,
    sigmas: Tensor,
    latent: LatentDict,
) -> tuple[LatentDict, LatentDict]:
    """The latent after a run, and the last prediction of the clean latent; both as they came for an empty schedule."""
    model, last = guider.model, _LastPrediction()
    report = progress_reporter(context, model)

    def step_done(step: int, denoised: Tensor, noisy: Tensor, total: int) -> None:
        last.value = denoised
        report(step, denoised, noisy, total)

    with reported():
        samples = fitted_latent(model, latent["samples"])
        start = noise.generate_noise({**latent, "samples": samples})
        result = guider.sample(
            start, samples, sampler, sigmas, mask=latent.get("noise_mask"), seed=noise.seed,
            fresh_mask_noise=keeps_fresh_noise(sampler), callback=step_done, check=context.check_cancelled,
        )  # fmt: skip
    clean = result if last.value is None else model.latent_format.from_model(last.value).float().cpu().clone()
    return {**latent, "samples": result}, {**latent, "samples": clean}


class _LastPrediction:
    """The clean latent that the last step predicted, in the model's scale; None before the first one."""

    value: Tensor | None = None
