"""Nodes that choose a sampler and set its options."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from comfykernel_core_nodes.diffusion.samplers import SAMPLERS, find_sampler
from comfykernel_core_nodes.diffusion.samplers.euler import euler_pp
from comfykernel_core_nodes.diffusion.samplers.exponential_sde import NOISE_SCALES
from comfykernel_core_nodes.diffusion.samplers.lcm import lcm_upscale
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.image.resampling import resize
from comfykernel_core_nodes.nodes.sampling.widgets import (
    Eta,
    NoiseAmount,
    NoiseDevice,
    OpenModel,
    SamplerValue,
    amount,
)
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Choice, Float, Int, Toggle

CATEGORY = "sampling/custom_sampling/samplers"

_node = extra_node("nodes_custom_sampler")
_advanced_node = partial(extra_node("nodes_advanced_samplers"), deprecated=False, api_node=False)


@_node("KSamplerSelect", category=CATEGORY, display_name="KSamplerSelect")
def ksampler_select(sampler_name: Annotated[str, Choice(*SAMPLERS, bare=True)]) -> SamplerValue:
    """A sampler with its usual options."""
    with reported():
        return find_sampler(sampler_name)


@_node("SamplerEulerAncestral", category=CATEGORY, display_name="SamplerEulerAncestral")
def sampler_euler_ancestral(eta: Eta, s_noise: NoiseAmount) -> SamplerValue:
    """Euler steps with fresh noise after each."""
    return find_sampler("euler_ancestral", eta=eta, s_noise=s_noise)


@_node("SamplerEulerAncestralCFGPP", category=CATEGORY, display_name="SamplerEulerAncestralCFG++")
def sampler_euler_ancestral_cfg_pp(
    eta: Annotated[float, amount(1.0, max=1.0)], s_noise: Annotated[float, amount(1.0, max=10.0)]
) -> SamplerValue:
    """Euler steps with fresh noise and CFG++."""
    return find_sampler("euler_ancestral_cfg_pp", eta=eta, s_noise=s_noise)


@_node("SamplerLMS", category=CATEGORY, display_name="SamplerLMS")
def sampler_lms(order: Annotated[int, Int(default=4, min=1, max=100)]) -> SamplerValue:
    """Linear multistep: a polynomial through as many slopes as the order says."""
    return find_sampler("lms", order=order)


@_node("SamplerDPMPP_2S_Ancestral", category=CATEGORY, display_name="SamplerDPMPP_2S_Ancestral")
def sampler_dpmpp_2s_ancestral(eta: Eta, s_noise: NoiseAmount) -> SamplerValue:
    """DPM-Solver++ in single steps of second order, with fresh noise."""
    return find_sampler("dpmpp_2s_ancestral", eta=eta, s_noise=s_noise)


@_node("SamplerDPMPP_SDE", category=CATEGORY, display_name="SamplerDPMPP_SDE")
def sampler_dpmpp_sde(
    eta: Eta, s_noise: NoiseAmount, r: Annotated[float, amount(0.5)], noise_device: NoiseDevice
) -> SamplerValue:
    """The stochastic DPM-Solver++ with a step in between; noise is the same on every device."""
    if r <= 0:
        raise BadInput("r is 0: there is no step in between.", hint="0.5 lies in the middle and is usual.")
    return find_sampler("dpmpp_sde", eta=eta, s_noise=s_noise, r=r)


@_node("SamplerDPMPP_2M_SDE", category=CATEGORY, display_name="SamplerDPMPP_2M_SDE")
def sampler_dpmpp_2m_sde(
    solver_type: Annotated[str, Choice("midpoint", "heun", bare=True)],
    eta: Eta,
    s_noise: NoiseAmount,
    noise_device: NoiseDevice,
) -> SamplerValue:
    """The stochastic DPM-Solver++ of two steps; noise is the same on every device."""
    return find_sampler("dpmpp_2m_sde", eta=eta, s_noise=s_noise, solver_type=solver_type)


@_node("SamplerDPMPP_3M_SDE", category=CATEGORY, display_name="SamplerDPMPP_3M_SDE")
def sampler_dpmpp_3m_sde(eta: Eta, s_noise: NoiseAmount, noise_device: NoiseDevice) -> SamplerValue:
    """The stochastic DPM-Solver++ of three steps; noise is the same on every device."""
    return find_sampler("dpmpp_3m_sde", eta=eta, s_noise=s_noise)


@_node("SamplerDPMAdaptative", category=CATEGORY, display_name="SamplerDPMAdaptative")
def sampler_dpm_adaptive(
    order: Annotated[int, Int(default=3, min=2, max=3)],
    rtol: Annotated[float, amount(0.05)],
    atol: Annotated[float, amount(0.0078)],
    h_init: Annotated[float, amount(0.05)],
    pcoeff: Annotated[float, amount(0.0)],
    icoeff: Annotated[float, amount(1.0)],
    dcoeff: Annotated[float, amount(0.0)],
    accept_safety: Annotated[float, amount(0.81)],
    eta: Annotated[float, amount(0.0)],
    s_noise: NoiseAmount,
) -> SamplerValue:
    """DPM-Solver that chooses its steps by the error it estimates; of a schedule it takes the ends only."""
    return find_sampler(
        "dpm_adaptive",
        order=order,
        rtol=rtol,
        atol=atol,
        h_init=h_init,
        pcoeff=pcoeff,
        icoeff=icoeff,
        dcoeff=dcoeff,
        accept_safety=accept_safety,
        eta=eta,
        s_noise=s_noise,
    )


@_node("SamplerER_SDE", category=CATEGORY, display_name="SamplerER_SDE")
def sampler_er_sde(
    solver_type: Annotated[str, Choice(*NOISE_SCALES, as_list=False)],
    max_stage: Annotated[int, Int(default=3, min=1, max=3)],
    eta: Annotated[
        float,
        Float(
            default=1.0,
            min=0.0,
            max=100.0,
            step=0.01,
            options={"round": False},
            tooltip="How much noise the reverse-time SDE adds; at 0 it is an ODE. The others do not look at it.",
        ),
    ],
    s_noise: NoiseAmount,
) -> SamplerValue:
    """Solvers of the reverse-time SDE with a free function for the noise."""
    noiseless = solver_type == "ODE" or (solver_type == "Reverse-time SDE" and eta == 0)
    return find_sampler(
        "er_sde",
        s_noise=0.0 if noiseless else s_noise,
        max_stage=max_stage,
        noise_scale=NOISE_SCALES[solver_type](0.0 if noiseless else eta),
    )


@_node("SamplerSASolver", category=CATEGORY, display_name="SamplerSASolver")
def sampler_sa_solver(
    model: OpenModel,
    eta: Annotated[float, amount(1.0, max=10.0)],
    sde_start_percent: Annotated[float, Float(default=0.2, min=0.0, max=1.0, step=0.001)],
    sde_end_percent: Annotated[float, Float(default=0.8, min=0.0, max=1.0, step=0.001)],
    s_noise: NoiseAmount,
    predictor_order: Annotated[int, Int(default=3, min=1, max=6)],
    corrector_order: Annotated[int, Int(default=4, min=0, max=6)],
    use_pece: Annotated[bool, Toggle()],
    simple_order_2: Annotated[bool, Toggle()],
) -> SamplerValue:
    """Stochastic Adams steps; noise is added between two points of the model's progress."""
    levels = model.sampling.levels
    return find_sampler(
        "sa_solver",
        eta=eta,
        sde_range=(levels.percent_to_sigma(sde_start_percent), levels.percent_to_sigma(sde_end_percent)),
        s_noise=s_noise,
        predictor_order=predictor_order,
        corrector_order=corrector_order,
        use_pece=use_pece,
        simple_order_2=simple_order_2,
    )


@_advanced_node("SamplerEulerCFGpp", category="_for_testing", display_name="SamplerEulerCFG++", experimental=True)
def sampler_euler_cfg_pp(
    version: Annotated[str, Choice("regular", "alternative", as_list=False, options={"multiselect": False})],
) -> SamplerValue:
    """Euler steps with CFG++, in two readings of the paper."""
    return euler_pp if version == "alternative" else find_sampler("euler_cfg_pp")


@_advanced_node("SamplerLCMUpscale", category=CATEGORY, experimental=False)
def sampler_lcm_upscale(
    scale_ratio: Annotated[float, Float(default=1.0, min=0.1, max=20.0, step=0.01)],
    scale_steps: Annotated[int, Int(default=-1, min=-1, max=1000, step=1)],
    upscale_method: Annotated[
        str,
        Choice(
            "bislerp", "nearest-exact", "bilinear", "area", "bicubic",
            as_list=False, options={"multiselect": False},
        ),
    ],
) -> SamplerValue:  # fmt: skip
    """Consistency sampling that makes the latent larger from step to step."""
    steps = None if scale_steps < 0 else scale_steps
    return partial(lcm_upscale, resize=partial(resize, method=upscale_method), scale=scale_ratio, scale_steps=steps)


@_node("SamplerLCM", category=CATEGORY, deprecated=False, experimental=False, api_node=False)
def sampler_lcm(
    s_noise: Annotated[float, Float(default=1.0, min=0.0, max=64.0, step=0.01, tooltip="Noise at the first step.")],
    s_noise_end: Annotated[float, Float(default=1.0, min=0.0, max=64.0, step=0.01, tooltip="Noise at the last step.")],
    noise_clip_std: Annotated[
        float, Float(default=0.0, min=0.0, max=10.0, step=0.01, tooltip="Largest noise in deviations; 0: any.")
    ],
) -> SamplerValue:
    """Consistency sampling with an amount of noise that changes from the first step to the last."""
    return find_sampler("lcm", s_noise=s_noise, s_noise_end=s_noise_end, noise_clip=noise_clip_std)
