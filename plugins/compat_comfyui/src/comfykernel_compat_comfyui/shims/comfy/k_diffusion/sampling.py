"""Samplers as functions ``(model, x, sigmas, extra_args, callback, disable, **options)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from comfykernel_compat_comfyui.diffusion_bridge.library import (
    SAMPLERS,
    Guided,
    ModelSampling,
    brownian_noise,
    variance_exploding_step,
)

from .utils import append_dims

NoiseSampler = Callable[[Tensor, Tensor], Tensor]


def to_d(x: Tensor, sigma: Tensor, denoised: Tensor) -> Tensor:
    """dx / dsigma of the probability flow (Karras et al. 2022, eq. 3)."""
    return (x - denoised) / append_dims(torch.as_tensor(sigma), x.ndim)


def append_zero(x: Tensor) -> Tensor:
    """Levels with 0 at their end."""
    return torch.cat([x, x.new_zeros([1])])


def get_ancestral_step(sigma_from: Any, sigma_to: Any, eta: float = 1.0) -> tuple[Any, Any]:
    """The level to go down to and the noise to add, of an ancestral step."""
    down, up = variance_exploding_step(torch.as_tensor(sigma_from), torch.as_tensor(sigma_to), eta)
    return down, up


def get_sigmas_karras(n: int, sigma_min: float, sigma_max: float, rho: float = 7.0, device: Any = "cpu") -> Tensor:
    """Karras et al. 2022, eq. 5."""
    ramp = torch.linspace(0, 1, n, device=device)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return append_zero((high + ramp * (low - high)) ** rho).to(device)


def get_sigmas_exponential(n: int, sigma_min: float, sigma_max: float, device: Any = "cpu") -> Tensor:
    """Even steps in log(sigma)."""
    low, high = torch.tensor(float(sigma_min)).log(), torch.tensor(float(sigma_max)).log()
    return append_zero(torch.linspace(float(high), float(low), n, device=device).exp())


def get_sigmas_polyexponential(
    n: int, sigma_min: float, sigma_max: float, rho: float = 1.0, device: Any = "cpu"
) -> Tensor:
    """Powers of an even ramp in log(sigma)."""
    low, high = torch.tensor(float(sigma_min)).log(), torch.tensor(float(sigma_max)).log()
    ramp = torch.linspace(1, 0, n, device=device) ** rho
    return append_zero(torch.exp(ramp * (high - low) + low))


def default_noise_sampler(x: Tensor, seed: int | None = None) -> NoiseSampler:
    """Fresh noise at each call; of a seed, drawn on the CPU."""
    if seed is None:
        return lambda sigma, sigma_next: torch.randn_like(x)
    generator = torch.Generator(device="cpu").manual_seed(seed)
    return lambda sigma, sigma_next: torch.randn(x.shape, dtype=x.dtype, generator=generator).to(x.device)


class BrownianTreeNoiseSampler:
    """Noise of a Brownian motion over sigma: the same interval gives the same noise."""

    def __init__(
        self, x: Tensor, sigma_min: Any, sigma_max: Any, seed: int | None = None,
        transform: Callable[[Any], Any] = lambda x: x, cpu: bool = False,
    ) -> None:  # fmt: skip
        self.transform = transform
        bounds = torch.stack([torch.as_tensor(transform(torch.as_tensor(s))).float() for s in (sigma_min, sigma_max)])
        self._noise = brownian_noise(x, bounds, int(torch.randint(0, 2**63 - 1, [])) if seed is None else seed)

    def __call__(self, sigma: Any, sigma_next: Any) -> Tensor:
        first, second = (self.transform(torch.as_tensor(s)) for s in (sigma, sigma_next))
        return self._noise(first, second)


class _Denoiser:
    """What packs pass as ``model``, as the library's samplers see it."""

    def __init__(self, model: Any, extra_args: dict[str, Any]) -> None:
        self._model = model
        self._extra_args = extra_args

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        level = torch.as_tensor(sigma).to(x).expand(len(x))
        denoised: Tensor = self._model(x, level, **self._extra_args)
        return denoised

    def guided(self, x: Tensor, sigma: Tensor) -> Guided:
        """The prediction and the one for the negative side, caught where it is combined."""
        caught: list[Tensor] = []

        def catch(told: dict[str, Any]) -> Tensor:
            caught.append(told["uncond_denoised"])
            found: Tensor = told["denoised"]
            return found

        options = dict(self._extra_args.get("model_options") or {})
        options["sampler_post_cfg_function"] = [*options.get("sampler_post_cfg_function", []), catch]
        options["disable_cfg1_optimization"] = True
        level = torch.as_tensor(sigma).to(x).expand(len(x))
        denoised = self._model(x, level, **{**self._extra_args, "model_options": options})
        return Guided(denoised, caught[-1])


def _path_of(model: Any) -> Any:
    sampling = getattr(getattr(model, "inner_model", model), "model_sampling", None)
    return getattr(getattr(sampling, "ours", None), "path", None) or ModelSampling.epsilon().path


def _function(name: str) -> Callable[..., Tensor]:
    library_sampler = SAMPLERS[name]

    def sample(
        model: Any, x: Tensor, sigmas: Tensor, extra_args: dict[str, Any] | None = None, callback: Any = None,
        disable: Any = None, **options: Any,
    ) -> Tensor:  # fmt: skip
        extra = extra_args or {}

        def tell(step: int, denoised: Tensor, current: Tensor) -> None:
            if callback is not None:
                level = sigmas[min(step, len(sigmas) - 1)]
                callback({"x": current, "i": step, "sigma": level, "sigma_hat": level, "denoised": denoised})

        given = {key: value for key, value in options.items() if key != "noise_sampler" or value is not None}
        return library_sampler(
            _Denoiser(model, extra), x, sigmas, _path_of(model), int(extra.get("seed") or 0), tell, **given
        )

    sample.__name__ = sample.__qualname__ = f"sample_{name}"
    sample.__doc__ = library_sampler.__doc__
    sample.library_sampler = library_sampler  # type: ignore[attr-defined]
    return sample


for _name in SAMPLERS:
    globals()[f"sample_{_name}"] = _function(_name)
