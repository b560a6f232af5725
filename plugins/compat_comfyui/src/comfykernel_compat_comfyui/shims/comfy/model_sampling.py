"""Noise levels and parametrisations that packs make themselves, and the kinds that they ask about."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from comfykernel_compat_comfyui.diffusion_bridge.sigma_tables import scaled_linear_sigmas, zero_terminal_snr


def reshape_sigma(sigma: Tensor, noise_dim: int) -> Tensor:
    """Levels [batch] that broadcast against latents of so many dimensions."""
    return sigma.reshape(sigma.shape[:1] + (1,) * (noise_dim - 1)) if sigma.nelement() > 1 or sigma.ndim else sigma


def rescale_zero_terminal_snr_sigmas(sigmas: Tensor) -> Tensor:
    """Levels whose largest is pure noise (Lin et al. 2023, arXiv:2305.08891)."""
    return zero_terminal_snr(sigmas)


def time_snr_shift(alpha: float, t: Any) -> Any:
    """A time in 0..1, shifted (Esser et al. 2024, arXiv:2403.03206, eq. 23)."""
    return t if alpha == 1.0 else alpha * t / (1 + (alpha - 1) * t)


def flux_time_shift(mu: float, sigma: float, t: Any) -> Any:
    """A time in 0..1, shifted as Flux's."""
    return math.exp(mu) / (math.exp(mu) + (1 / t - 1) ** sigma)


class EPS:
    """The network predicts the noise."""

    sigma_data: float = 1.0

    def calculate_input(self, sigma: Tensor, noise: Tensor) -> Tensor:
        """What the network sees of a noisy latent."""
        sigma = reshape_sigma(sigma, noise.ndim)
        return noise / (sigma**2 + self.sigma_data**2) ** 0.5

    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        """The clean latent that the network's output stands for."""
        return model_input - model_output * reshape_sigma(sigma, model_output.ndim)

    def noise_scaling(self, sigma: Tensor, noise: Tensor, latent_image: Tensor, max_denoise: bool = False) -> Tensor:
        """A latent with noise of a level."""
        sigma = reshape_sigma(sigma, noise.ndim)
        return noise * (torch.sqrt(1.0 + sigma**2) if max_denoise else sigma) + latent_image

    def inverse_noise_scaling(self, sigma: Tensor, latent: Tensor) -> Tensor:
        """A latent as it is when a run ends at a level."""
        return latent


class V_PREDICTION(EPS):
    """The network predicts v (Salimans and Ho 2022)."""

    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        """The clean latent that the network's output stands for."""
        sigma = reshape_sigma(sigma, model_output.ndim)
        total = sigma**2 + self.sigma_data**2
        return model_input * self.sigma_data**2 / total - model_output * sigma * self.sigma_data / total**0.5


class EDM(V_PREDICTION):
    """The target of Karras et al. 2022, table 1."""

    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        """The clean latent that the network's output stands for."""
        sigma = reshape_sigma(sigma, model_output.ndim)
        total = sigma**2 + self.sigma_data**2
        return model_input * self.sigma_data**2 / total + model_output * sigma * self.sigma_data / total**0.5


class CONST:
    """The network predicts noise minus clean, of a rectified flow."""

    def calculate_input(self, sigma: Tensor, noise: Tensor) -> Tensor:
        """What the network sees of a noisy latent."""
        return noise

    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        """The clean latent that the network's output stands for."""
        return model_input - model_output * reshape_sigma(sigma, model_output.ndim)

    def noise_scaling(self, sigma: Tensor, noise: Tensor, latent_image: Tensor, max_denoise: bool = False) -> Tensor:
        """A latent with noise of a level."""
        sigma = reshape_sigma(sigma, noise.ndim)
        return sigma * noise + (1.0 - sigma) * latent_image

    def inverse_noise_scaling(self, sigma: Tensor, latent: Tensor) -> Tensor:
        """A latent as it is when a run ends at a level."""
        return latent / (1.0 - reshape_sigma(sigma, latent.ndim))


class X0(EPS):
    """The network predicts the clean latent."""

    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        """The clean latent that the network's output stands for."""
        return model_output


class IMG_TO_IMG(X0):
    """The network turns one latent into another."""

    def calculate_input(self, sigma: Tensor, noise: Tensor) -> Tensor:
        """What the network sees of a noisy latent."""
        return noise


class ModelSamplingDiscrete(nn.Module):
    """A table of levels, one for each training timestep."""

    sigmas: Tensor
    log_sigmas: Tensor

    def __init__(self, model_config: Any = None, zsnr: bool | None = None) -> None:
        super().__init__()
        settings: dict[str, Any] = getattr(model_config, "sampling_settings", None) or {}
        self.zsnr = settings.get("zsnr", False) if zsnr is None else zsnr
        self.sigma_data = 1.0
        self.num_timesteps = int(settings.get("timesteps", 1000))
        self.linear_start = settings.get("linear_start", 0.00085)
        self.linear_end = settings.get("linear_end", 0.012)
        self.set_sigmas(scaled_linear_sigmas(self.linear_start, self.linear_end, self.num_timesteps))

    def set_sigmas(self, sigmas: Tensor) -> None:
        """Use these levels, ascending."""
        if self.zsnr:
            sigmas = rescale_zero_terminal_snr_sigmas(sigmas)
        self.register_buffer("sigmas", sigmas.float())
        self.register_buffer("log_sigmas", sigmas.log().float())

    @property
    def sigma_min(self) -> Tensor:
        """The smallest level."""
        return self.sigmas[0]

    @property
    def sigma_max(self) -> Tensor:
        """The largest level."""
        return self.sigmas[-1]

    def timestep(self, sigma: Tensor) -> Tensor:
        """The timestep of the nearest level."""
        distances = sigma.log().to(self.log_sigmas.device).flatten() - self.log_sigmas[:, None]
        return distances.abs().argmin(dim=0).view(sigma.shape).to(sigma.device)

    def sigma(self, timestep: Tensor) -> Tensor:
        """The level of a timestep, even in log(sigma) between two."""
        position = timestep.float().to(self.log_sigmas.device).clamp(min=0, max=len(self.sigmas) - 1)
        low, high, part = position.floor().long(), position.ceil().long(), position.frac()
        return ((1 - part) * self.log_sigmas[low] + part * self.log_sigmas[high]).exp().to(timestep.device)

    def percent_to_sigma(self, percent: float) -> float:
        """The level at a progress of 0 to 1."""
        if percent <= 0.0:
            return 999999999.9
        return 0.0 if percent >= 1.0 else float(self.sigma(torch.tensor((1.0 - percent) * 999.0)))


class ModelSamplingDiscreteFlow(nn.Module):
    """Levels of a rectified flow, shifted in time."""

    sigmas: Tensor

    def __init__(self, model_config: Any = None) -> None:
        super().__init__()
        settings: dict[str, Any] = getattr(model_config, "sampling_settings", None) or {}
        self.set_parameters(settings.get("shift", 1.0), multiplier=settings.get("multiplier", 1000))

    def set_parameters(self, shift: float = 1.0, timesteps: int = 1000, multiplier: float = 1000) -> None:
        """Use another shift."""
        self.shift, self.multiplier = shift, multiplier
        self.register_buffer("sigmas", self.sigma((torch.arange(1, timesteps + 1) / timesteps) * multiplier))

    @property
    def sigma_min(self) -> Tensor:
        """The smallest level."""
        return self.sigmas[0]

    @property
    def sigma_max(self) -> Tensor:
        """The largest level."""
        return self.sigmas[-1]

    def timestep(self, sigma: Tensor) -> Tensor:
        """What the network is told of a level."""
        return sigma * self.multiplier

    def sigma(self, timestep: Tensor) -> Tensor:
        """The level of a timestep."""
        shifted: Tensor = time_snr_shift(self.shift, timestep / self.multiplier)
        return shifted

    def percent_to_sigma(self, percent: float) -> float:
        """The level at a progress of 0 to 1."""
        if percent <= 0.0:
            return 1.0
        return 0.0 if percent >= 1.0 else float(time_snr_shift(self.shift, 1.0 - percent))


class ModelSamplingFlux(nn.Module):
    """Levels of a rectified flow, shifted as Flux's."""

    sigmas: Tensor

    def __init__(self, model_config: Any = None) -> None:
        super().__init__()
        settings: dict[str, Any] = getattr(model_config, "sampling_settings", None) or {}
        self.set_parameters(settings.get("shift", 1.15))

    def set_parameters(self, shift: float = 1.15, timesteps: int = 10000) -> None:
        """Use another shift."""
        self.shift = shift
        self.register_buffer("sigmas", self.sigma(torch.arange(1, timesteps + 1) / timesteps))

    @property
    def sigma_min(self) -> Tensor:
        """The smallest level."""
        return self.sigmas[0]

    @property
    def sigma_max(self) -> Tensor:
        """The largest level."""
        return self.sigmas[-1]

    def timestep(self, sigma: Tensor) -> Tensor:
        """What the network is told of a level: the level."""
        return sigma

    def sigma(self, timestep: Tensor) -> Tensor:
        """The level of a timestep."""
        shifted: Tensor = flux_time_shift(self.shift, 1.0, timestep)
        return shifted

    def percent_to_sigma(self, percent: float) -> float:
        """The level at a progress of 0 to 1."""
        if percent <= 0.0:
            return 1.0
        return 0.0 if percent >= 1.0 else float(flux_time_shift(self.shift, 1.0, 1.0 - percent))


class ModelSamplingContinuousEDM(nn.Module):
    """Levels between two bounds, even in log(sigma)."""

    sigmas: Tensor

    def __init__(self, model_config: Any = None) -> None:
        super().__init__()
        settings: dict[str, Any] = getattr(model_config, "sampling_settings", None) or {}
        self.set_parameters(
            settings.get("sigma_min", 0.002), settings.get("sigma_max", 120.0), settings.get("sigma_data", 1.0)
        )

    def set_parameters(self, sigma_min: float, sigma_max: float, sigma_data: float) -> None:
        """Use other bounds."""
        self.sigma_data = sigma_data
        self.register_buffer("sigmas", torch.linspace(math.log(sigma_min), math.log(sigma_max), 1000).exp())

    @property
    def sigma_min(self) -> Tensor:
        """The smallest level."""
        return self.sigmas[0]

    @property
    def sigma_max(self) -> Tensor:
        """The largest level."""
        return self.sigmas[-1]

    def timestep(self, sigma: Tensor) -> Tensor:
        """What the network is told of a level."""
        return 0.25 * sigma.log()

    def sigma(self, timestep: Tensor) -> Tensor:
        """The level of a timestep."""
        return (timestep / 0.25).exp()

    def percent_to_sigma(self, percent: float) -> float:
        """The level at a progress of 0 to 1."""
        if percent <= 0.0:
            return 999999999.9
        if percent >= 1.0:
            return 0.0
        low, high = math.log(float(self.sigma_min)), math.log(float(self.sigma_max))
        return math.exp((high - low) * (1.0 - percent) + low)


class ModelSamplingContinuousV(ModelSamplingContinuousEDM):
    """The same, told to the network as an angle."""

    def timestep(self, sigma: Tensor) -> Tensor:
        """What the network is told of a level."""
        return sigma.atan() / math.pi * 2

    def sigma(self, timestep: Tensor) -> Tensor:
        """The level of a timestep."""
        return (timestep * math.pi / 2).tan()
