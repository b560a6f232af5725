"""The samplers by name."""

from __future__ import annotations

from functools import partial
from inspect import signature
from typing import Any, Final

from comfykernel_core_nodes.diffusion.errors import UnknownSampler
from comfykernel_core_nodes.diffusion.samplers import (
    dpm_solver,
    dpmpp,
    dpmpp_sde,
    euler,
    exponential_sde,
    extrapolating,
    lcm,
    linear_multistep,
    sa_solver,
    uni_pc,
)
from comfykernel_core_nodes.diffusion.samplers.contract import Denoiser, Guided, Sampler, StepCallback

__all__ = [
    "FRESH_MASK_NOISE",
    "SAMPLERS",
    "Denoiser",
    "Guided",
    "Sampler",
    "StepCallback",
    "find_sampler",
    "keeps_fresh_noise",
]

# The name "_gpu" once meant noise drawn on the accelerator; noise is drawn on the CPU here whatever the name.
SAMPLERS: Final[dict[str, Sampler]] = {
    "euler": euler.euler,
    "euler_cfg_pp": euler.euler_cfg_pp,
    "euler_ancestral": euler.euler_ancestral,
    "euler_ancestral_cfg_pp": euler.euler_ancestral_cfg_pp,
    "heun": euler.heun,
    "heunpp2": euler.heunpp2,
    "dpm_2": dpm_solver.dpm_2,
    "dpm_2_ancestral": dpm_solver.dpm_2_ancestral,
    "lms": linear_multistep.lms,
    "dpm_fast": dpm_solver.dpm_fast,
    "dpm_adaptive": dpm_solver.dpm_adaptive,
    "dpmpp_2s_ancestral": dpmpp.dpmpp_2s_ancestral,
    "dpmpp_2s_ancestral_cfg_pp": dpmpp.dpmpp_2s_ancestral_cfg_pp,
    "dpmpp_sde": dpmpp_sde.dpmpp_sde,
    "dpmpp_sde_gpu": dpmpp_sde.dpmpp_sde,
    "dpmpp_2m": dpmpp.dpmpp_2m,
    "dpmpp_2m_cfg_pp": dpmpp.dpmpp_2m_cfg_pp,
    "dpmpp_2m_sde": dpmpp_sde.dpmpp_2m_sde,
    "dpmpp_2m_sde_gpu": dpmpp_sde.dpmpp_2m_sde,
    "dpmpp_2m_sde_heun": dpmpp_sde.dpmpp_2m_sde_heun,
    "dpmpp_2m_sde_heun_gpu": dpmpp_sde.dpmpp_2m_sde_heun,
    "dpmpp_3m_sde": dpmpp_sde.dpmpp_3m_sde,
    "dpmpp_3m_sde_gpu": dpmpp_sde.dpmpp_3m_sde,
    "ddpm": euler.ddpm,
    "lcm": lcm.lcm,
    "ipndm": linear_multistep.ipndm,
    "ipndm_v": linear_multistep.ipndm_v,
    "deis": linear_multistep.deis,
    "res_multistep": extrapolating.res_multistep,
    "res_multistep_cfg_pp": extrapolating.res_multistep_cfg_pp,
    "res_multistep_ancestral": extrapolating.res_multistep_ancestral,
    "res_multistep_ancestral_cfg_pp": extrapolating.res_multistep_ancestral_cfg_pp,
    "gradient_estimation": extrapolating.gradient_estimation,
    "gradient_estimation_cfg_pp": extrapolating.gradient_estimation_cfg_pp,
    "er_sde": exponential_sde.er_sde,
    "seeds_2": exponential_sde.seeds_2,
    "seeds_3": exponential_sde.seeds_3,
    "sa_solver": sa_solver.sa_solver,
    "sa_solver_pece": sa_solver.sa_solver_pece,
    "ddim": euler.ddim,
    "uni_pc": uni_pc.uni_pc,
    "uni_pc_bh2": uni_pc.uni_pc_bh2,
}

# Samplers that keep the unmasked part of a latent at other noise than the start noise.
FRESH_MASK_NOISE: Final = frozenset({"ddim"})


def find_sampler(name: str, **options: Any) -> Sampler:
    """The named sampler with the given options set.

    Raises `UnknownSampler` with the names that exist, and `TypeError` for an option that it does not have.
    """
    if name not in SAMPLERS:
        raise UnknownSampler(name, sorted(SAMPLERS))
    sampler = SAMPLERS[name]
    unknown = options.keys() - signature(sampler).parameters.keys()
    if unknown:
        raise TypeError(f"Sampler {name!r} has no option {', '.join(sorted(unknown))}")
    return partial(sampler, **options) if options else sampler


def keeps_fresh_noise(sampler: Sampler) -> bool:
    """Whether a run of this sampler keeps the unmasked part of a latent at other noise than the start noise."""
    plain = sampler.func if isinstance(sampler, partial) else sampler
    return any(plain is SAMPLERS[name] for name in FRESH_MASK_NOISE)
