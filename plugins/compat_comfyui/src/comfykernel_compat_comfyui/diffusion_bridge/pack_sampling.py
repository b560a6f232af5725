"""Sampling as packs ask for it, over the library's runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .conditions import from_pairs
from .guided_run import InnerModel, PackCalls, guided_prediction, run_options, sampling_function
from .library import Denoiser, DiffusionModel, Guided, sampler_sigmas, schedule_sigmas, step_range
from .library import Sampler as LibrarySampler
from .library import sample as library_sample
from .patcher import ModelPatcher
from .sampling_face import SamplingFace, ours_of

Callback = Callable[[int, Tensor, Tensor, int], None]


class Sampler:
    """Base of samplers: ``sample`` runs one."""

    def sample(self, *args: Any, **kwargs: Any) -> Tensor:
        """Run it."""
        raise NotImplementedError

    def max_denoise(self, model_wrap: Any, sigmas: Tensor) -> bool:
        """Whether a run starts at the model's largest noise level."""
        largest, first = float(model_wrap.inner_model.model_sampling.sigma_max), float(sigmas[0])
        return first > largest or abs(first - largest) <= 1e-5 * largest


def model_of(model: Any) -> DiffusionModel:
    """The library's model behind what packs pass as one."""
    if isinstance(model, DiffusionModel):
        return model
    if isinstance(model, ModelPatcher):
        return model.resolved()
    handle: DiffusionModel = model.handle
    return handle


def sigmas_of(model: Any, scheduler: str, steps: int, *, sampler: str = "", denoise: float = 1.0) -> Tensor:
    """The noise levels of a schedule for a model."""
    return sampler_sigmas(model_of(model).sampling.levels, scheduler, steps, sampler=sampler, denoise=denoise)


def calculate_sigmas(model_sampling: Any, scheduler_name: str, steps: int) -> Tensor:
    """The noise levels of a schedule for ``model_sampling``."""
    if isinstance(model_sampling, SamplingFace):
        return schedule_sigmas(model_sampling.ours.levels, scheduler_name, steps)
    from .sampling_face import _PackLevels

    return schedule_sigmas(_PackLevels(model_sampling), scheduler_name, steps)


def chosen_steps(sigmas: Tensor, start: int | None, last: int | None, *, full_denoise: bool) -> Tensor:
    """The part of a schedule between two steps."""
    return step_range(sigmas, start or 0, last, full_denoise=full_denoise) if len(sigmas) else sigmas


class WrappedModel:
    """What samplers of packs call as ``model(x, sigma, **extra_args)``: predictions of the clean latent.

    ``sigma`` has one entry for each row of x.
    """

    def __init__(self, denoise: Denoiser, inner_model: Any, sigmas: Tensor) -> None:
        self._denoise = denoise
        self.inner_model = self
        self.model = inner_model
        self.model_sampling = getattr(inner_model, "model_sampling", None)
        self.model_patcher = getattr(inner_model, "current_patcher", None)
        self.sigmas = sigmas

    def __call__(self, x: Tensor, sigma: Tensor, **kwargs: Any) -> Tensor:
        functions = (kwargs.get("model_options") or {}).get("sampler_post_cfg_function", ())
        level = torch.as_tensor(sigma).flatten()[0]
        if not functions:
            return self._denoise(x, level)
        denoised, uncond = self._denoise.guided(x, level)
        for function in functions:
            denoised = function({"denoised": denoised, "uncond_denoised": uncond, "sigma": sigma, "input": x})
        return denoised

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["model"], name)


def as_library_sampler(sampler: Any, model: Any) -> LibrarySampler:
    """A pack's sampler in the library's form; one of the library's own is taken as it is."""
    own = getattr(getattr(sampler, "sampler_function", None), "library_sampler", None)
    if own is not None:
        options = getattr(sampler, "extra_options", {})
        return partial(own, **options) if options else own
    if not hasattr(sampler, "sample"):
        return sampler  # type: ignore[no-any-return]

    def run(denoise: Denoiser, x: Tensor, sigmas: Tensor, path: Any, seed: int, callback: Any) -> Tensor:
        def tell(step: Any, denoised: Any = None, current: Any = None, total: Any = None) -> None:
            if isinstance(step, dict):
                step, denoised, current = step["i"], step["denoised"], step["x"]
            callback(step, denoised, current)

        wrapped = WrappedModel(denoise, model, sigmas)
        extra_args = {"model_options": {}, "seed": seed}
        result: Tensor = sampler.sample(wrapped, sigmas, extra_args, tell, x, None, None, True)
        return result

    return run


class CFGGuider:
    """Guides a model by conditions; packs subclass it and change ``predict_noise``."""

    def __init__(self, model_patcher: Any) -> None:
        self.model_patcher = model_patcher
        self.model_options: dict[str, Any] = (
            run_options(model_patcher) if isinstance(model_patcher, ModelPatcher) else {}
        )
        self.original_conds: dict[str, list[Any]] = {}
        self.conds: dict[str, list[Any]] = {}
        self.cfg = 1.0
        self.inner_model: Any = None

    def set_conds(self, positive: Any, negative: Any) -> None:
        """Use these conditions."""
        self.inner_set_conds({"positive": positive, "negative": negative})

    def set_cfg(self, cfg: float) -> None:
        """Use this scale."""
        self.cfg = cfg

    def inner_set_conds(self, conds: dict[str, Any]) -> None:
        """Use conditions by name."""
        self.original_conds = {name: from_pairs(list(values)) for name, values in conds.items()}

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.predict_noise(*args, **kwargs)

    def predict_noise(
        self, x: Tensor, timestep: Tensor, model_options: dict[str, Any] | None = None, seed: int | None = None
    ) -> Tensor:
        """The guided prediction of the clean latent."""
        return sampling_function(
            self.inner_model, x, timestep, self.conds.get("negative"), self.conds.get("positive"), self.cfg,
            model_options=model_options or self.model_options, seed=seed,
        )  # fmt: skip

    def sample(
        self, noise: Tensor, latent_image: Tensor | None, sampler: Any, sigmas: Tensor,
        denoise_mask: Tensor | None = None, callback: Callback | None = None, disable_pbar: bool = False,
        seed: int | None = None,
    ) -> Tensor:  # fmt: skip
        """Run a sampler over noise levels; gives the latent."""
        if not len(sigmas):
            return torch.zeros_like(noise) if latent_image is None else latent_image
        model = model_of(self.model_patcher)
        face = self.model_patcher.model if isinstance(self.model_patcher, ModelPatcher) else None
        self._calls_itself = type(self).predict_noise is not CFGGuider.predict_noise
        positive, negative = (self.original_conds.get(name, []) for name in ("positive", "negative"))
        return library_sample(
            model.with_denoiser(partial(_GuidersDenoiser, self, face)), noise=noise, positive=positive,
            negative=negative, cfg=self.cfg, sampler=as_library_sampler(sampler, face), sigmas=sigmas,
            latent=torch.zeros_like(noise) if latent_image is None else latent_image, noise_mask=denoise_mask,
            seed=seed or 0, callback=callback,
        )  # fmt: skip


class _GuidersDenoiser:
    """The run of a guider, as samplers of the library see it."""

    def __init__(
        self, guider: CFGGuider, face: Any, call: Any, positive: Sequence[Any], negative: Sequence[Any],
        scale: float, *, check: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self._guider = guider
        self._check = check
        guider.inner_model = InnerModel(face, partial(PackCalls, call))
        guider.conds = {"positive": list(positive), "negative": list(negative)}

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        if self._check is not None:
            self._check()
        level = torch.as_tensor(sigma).to(x).expand(len(x))
        return self._guider.predict_noise(x, level, self._guider.model_options, None)

    def guided(self, x: Tensor, sigma: Tensor) -> Guided:
        """The same with the negative prediction."""
        guider, level = self._guider, torch.as_tensor(sigma).to(x).expand(len(x))
        both = guided_prediction(
            guider.inner_model, x, level, guider.conds["negative"], guider.conds["positive"], guider.cfg,
            guider.model_options, needs_negative=True,
        )  # fmt: skip
        return Guided(*both)


__all__ = ["CFGGuider", "Sampler", "calculate_sigmas", "inspect", "ours_of"]
