"""Samplers, schedules and guided runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from comfykernel_compat_comfyui.diffusion_bridge import guided_run, pack_sampling
from comfykernel_compat_comfyui.diffusion_bridge.guided_run import cfg_function, sampling_function
from comfykernel_compat_comfyui.diffusion_bridge.library import SAMPLERS, SCHEDULES
from comfykernel_compat_comfyui.diffusion_bridge.pack_sampling import CFGGuider, Sampler, calculate_sigmas
from comfykernel_compat_comfyui.lacking_names import lacking_class, lacking_function

__all__ = ["CFGGuider", "Sampler", "calculate_sigmas", "cfg_function", "sampling_function"]

SAMPLER_NAMES: list[str] = list(SAMPLERS)
SCHEDULER_NAMES: list[str] = list(SCHEDULES)
KSAMPLER_NAMES: list[str] = [name for name in SAMPLERS if name not in ("ddim", "uni_pc", "uni_pc_bh2")]


class SchedulerHandler:
    """A schedule as a function ``(model_sampling, steps)``."""

    def __init__(self, handler: Callable[..., Tensor], use_ms: bool = True) -> None:
        self.handler = handler
        self.use_ms = use_ms


def _handler(name: str) -> Callable[[Any, int], Tensor]:
    return lambda model_sampling, steps: calculate_sigmas(model_sampling, name, steps)


SCHEDULER_HANDLERS: dict[str, SchedulerHandler] = {name: SchedulerHandler(_handler(name)) for name in SCHEDULES}


class KSAMPLER(Sampler):
    """A sampler that is a function ``(model, x, sigmas, extra_args, callback, disable, **options)``."""

    def __init__(
        self, sampler_function: Callable[..., Tensor], extra_options: Mapping[str, Any] | None = None,
        inpaint_options: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.sampler_function = sampler_function
        self.extra_options = dict(extra_options or {})
        self.inpaint_options = dict(inpaint_options or {})

    def sample(
        self, model_wrap: Any, sigmas: Tensor, extra_args: dict[str, Any], callback: Any, noise: Tensor,
        latent_image: Tensor | None = None, denoise_mask: Tensor | None = None, disable_pbar: bool = False,
    ) -> Tensor:  # fmt: skip
        """Run the sampler; the noise is already scaled into the latent."""
        return self.sampler_function(
            model_wrap, noise, sigmas, extra_args=extra_args, callback=callback, disable=disable_pbar,
            **self.extra_options,
        )  # fmt: skip


def ksampler(
    sampler_name: str, extra_options: Mapping[str, Any] | None = None, inpaint_options: Mapping[str, Any] | None = None
) -> KSAMPLER:
    """A sampler by name, with options."""
    from comfykernel_compat_comfyui.shims.comfy.k_diffusion import sampling

    function = getattr(sampling, f"sample_{sampler_name}")
    return KSAMPLER(function, extra_options, inpaint_options)


def sampler_object(name: str) -> KSAMPLER:
    """A sampler by name."""
    return ksampler(name)


class KSampler:
    """A sampler and a schedule by name, for one model."""

    SCHEDULERS = SCHEDULER_NAMES
    SAMPLERS = SAMPLER_NAMES
    DISCARD_PENULTIMATE_SIGMA_SAMPLERS = {"dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2"}  # noqa: RUF012

    def __init__(
        self, model: Any, steps: int, device: Any, sampler: str | None = None, scheduler: str | None = None,
        denoise: float | None = None, model_options: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.model = model
        self.device = device
        self.sampler = sampler if sampler in self.SAMPLERS else self.SAMPLERS[0]
        self.scheduler = scheduler if scheduler in self.SCHEDULERS else self.SCHEDULERS[0]
        self.denoise = denoise
        self.model_options = model_options or {}
        self.set_steps(steps, denoise)

    def calculate_sigmas(self, steps: int) -> Tensor:
        """The noise levels of so many steps."""
        return pack_sampling.sigmas_of(self.model, self.scheduler, steps, sampler=self.sampler)

    def set_steps(self, steps: int, denoise: float | None = None) -> None:
        """Do so many steps of a part ``denoise`` of the way."""
        self.steps = steps
        self.sigmas = pack_sampling.sigmas_of(
            self.model, self.scheduler, steps, sampler=self.sampler, denoise=1.0 if denoise is None else denoise
        )

    def sample(
        self, noise: Tensor, positive: Any, negative: Any, cfg: float, latent_image: Tensor | None = None,
        start_step: int | None = None, last_step: int | None = None, force_full_denoise: bool = False,
        denoise_mask: Tensor | None = None, sigmas: Tensor | None = None, callback: Any = None,
        disable_pbar: bool = False, seed: int | None = None,
    ) -> Tensor:  # fmt: skip
        """Run it; gives the latent."""
        sigmas = self.sigmas if sigmas is None else sigmas
        sigmas = pack_sampling.chosen_steps(sigmas, start_step, last_step, full_denoise=force_full_denoise)
        if not len(sigmas):
            return torch.zeros_like(noise) if latent_image is None else latent_image
        return sample(
            self.model, noise, positive, negative, cfg, self.device, sampler_object(self.sampler), sigmas,
            self.model_options, latent_image=latent_image, denoise_mask=denoise_mask, callback=callback,
            disable_pbar=disable_pbar, seed=seed,
        )  # fmt: skip


def sample(
    model: Any, noise: Tensor, positive: Any, negative: Any, cfg: float, device: Any, sampler: Sampler, sigmas: Tensor,
    model_options: dict[str, Any] | None = None, latent_image: Tensor | None = None,
    denoise_mask: Tensor | None = None, callback: Any = None, disable_pbar: bool = False, seed: int | None = None,
) -> Tensor:  # fmt: skip
    """Run a sampler over noise levels; gives the latent."""
    guider = CFGGuider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(cfg)
    return guider.sample(noise, latent_image, sampler, sigmas, denoise_mask, callback, disable_pbar, seed)


def calc_cond_batch(
    model: Any, conds: Sequence[Any], x_in: Tensor, timestep: Tensor, model_options: dict[str, Any]
) -> list[Tensor]:
    """One prediction of the clean latent for each side of a run."""
    return guided_run.predict(model, conds, x_in, timestep, model_options)


def calc_cond_uncond_batch(
    model: Any, cond: Any, uncond: Any, x_in: Tensor, timestep: Tensor, model_options: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """The predictions for both sides of a run."""
    first, second = calc_cond_batch(model, [cond, uncond], x_in, timestep, model_options)
    return first, second


can_concat_cond = lacking_function("comfy.samplers.can_concat_cond")
cond_cat = lacking_function("comfy.samplers.cond_cat")
get_area_and_mult = lacking_function("comfy.samplers.get_area_and_mult")
pre_run_control = lacking_function("comfy.samplers.pre_run_control")
process_conds = lacking_function("comfy.samplers.process_conds")
encode_model_conds = lacking_function("comfy.samplers.encode_model_conds")
resolve_areas_and_cond_masks = lacking_function("comfy.samplers.resolve_areas_and_cond_masks")
KSamplerX0Inpaint = lacking_class("comfy.samplers.KSamplerX0Inpaint")


def __getattr__(name: str) -> Any:
    """The functions of samplers by the module's name for them, or nothing."""
    if name == "k_diffusion_sampling":
        from comfykernel_compat_comfyui.shims.comfy.k_diffusion import sampling

        return sampling
    from comfykernel_compat_comfyui.missing_names import missing_attribute

    raise AttributeError(name) if name.startswith("__") else missing_attribute("comfy.samplers", name)
