"""Nodes that sample: from noise and conditions to latents, step by step."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Annotated, Final

from torch import Tensor

from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.latent_preview import preview_image
from comfykernel_core_nodes.diffusion.samplers import SAMPLERS
from comfykernel_core_nodes.diffusion.sampling import sample_latent
from comfykernel_core_nodes.diffusion.schedules import SCHEDULES
from comfykernel_core_nodes.nodes.declare import core_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.sockets import LARGEST_SEED, MOST_STEPS, Conditions, Guidance, Model, Seed, Steps
from comfykernel_sdk.context import NodeContext, Preview
from comfykernel_sdk.sockets import Choice, Float, Int, Latent, LatentDict, Out, Socket

PREVIEW_QUALITY: Final = 90


@core_node("KSampler", category="sampling", display_name="KSampler")
def ksampler(
    context: NodeContext,
    model: Annotated[DiffusionModel, Socket("MODEL", tooltip="The network that removes the noise.", bare=False)],
    seed: Annotated[
        int,
        Int(default=0, min=0, max=LARGEST_SEED, control_after_generate=True, tooltip="Number that decides the noise."),
    ],
    steps: Annotated[int, Int(default=20, min=1, max=MOST_STEPS, tooltip="In how many steps the noise is removed.")],
    cfg: Annotated[
        float,
        Float(
            default=8.0,
            min=0.0,
            max=100.0,
            step=0.1,
            round=0.01,
            tooltip="How strictly the prompts are followed; at 1 the negative one plays no part.",
        ),
    ],
    sampler_name: Annotated[str, Choice(*SAMPLERS, tooltip="The method of the steps.")],
    scheduler: Annotated[str, Choice(*SCHEDULES, tooltip="How the noise levels are spread over the steps.")],
    positive: Annotated[list[Conditioning], Socket("CONDITIONING", tooltip="What should be seen.", bare=False)],
    negative: Annotated[list[Conditioning], Socket("CONDITIONING", tooltip="What should not be seen.", bare=False)],
    latent_image: Annotated[LatentDict, Socket("LATENT", tooltip="What is drawn over.", bare=False)],
    denoise: Annotated[
        float,
        Float(default=1.0, min=0.0, max=1.0, step=0.01, tooltip="How much of the latent is redrawn; 1 is all of it."),
    ],
) -> Annotated[Latent, Out(tooltip="The latents without noise.")]:
    """Draw latents that follow the conditions: add noise to what is there and remove it step by step."""
    with reported():
        samples = sample_latent(
            model, positive=positive, negative=negative, latent=latent_image["samples"], seed=seed, steps=steps,
            cfg=cfg, sampler=sampler_name, scheduler=scheduler, denoise=denoise,
            noise_mask=latent_image.get("noise_mask"), batch_index=latent_image.get("batch_index"),
            callback=progress_reporter(context, model), check=context.check_cancelled,
        )  # fmt: skip
    return {**latent_image, "samples": samples}


@core_node("KSamplerAdvanced", category="sampling", display_name="KSampler (Advanced)")
def ksampler_advanced(
    context: NodeContext,
    model: Model,
    add_noise: Annotated[str, Choice("enable", "disable", bare=True)],
    noise_seed: Seed,
    steps: Steps,
    cfg: Guidance,
    sampler_name: Annotated[str, Choice(*SAMPLERS, bare=True)],
    scheduler: Annotated[str, Choice(*SCHEDULES, bare=True)],
    positive: Conditions,
    negative: Conditions,
    latent_image: Latent,
    start_at_step: Annotated[int, Int(default=0, min=0, max=MOST_STEPS)],
    end_at_step: Annotated[int, Int(default=MOST_STEPS, min=0, max=MOST_STEPS)],
    return_with_leftover_noise: Annotated[str, Choice("disable", "enable", bare=True)],
) -> Latent:
    """Do a part of the steps of a sampling run, so that several samplers can share one."""
    with reported():
        samples = sample_latent(
            model, positive=positive, negative=negative, latent=latent_image["samples"], seed=noise_seed, steps=steps,
            cfg=cfg, sampler=sampler_name, scheduler=scheduler, add_noise=add_noise == "enable",
            noise_mask=latent_image.get("noise_mask"), batch_index=latent_image.get("batch_index"),
            start_step=start_at_step, end_step=end_at_step,
            force_full_denoise=return_with_leftover_noise == "disable",
            callback=progress_reporter(context, model), check=context.check_cancelled,
        )  # fmt: skip
    return {**latent_image, "samples": samples}


def progress_reporter(context: NodeContext, model: DiffusionModel) -> Callable[[int, Tensor, Tensor, int], None]:
    """A callback of a sampler that reports each step, with a preview when the settings ask for it."""
    settings = context.settings.execution

    def report(step: int, denoised: Tensor, _: Tensor, total: int) -> None:
        preview = None
        if settings.preview_method != "none":
            picture = preview_image(denoised, model.latent_format, settings.preview_size)
            buffer = io.BytesIO()
            picture.save(buffer, "JPEG", quality=PREVIEW_QUALITY)
            preview = Preview(buffer.getvalue(), "JPEG")
        context.progress(step + 1, total, preview=preview)

    return report
