"""Every sampler against recorded numbers, on two models whose prediction is a formula."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_core_nodes.diffusion.noise import start_noise
from comfykernel_core_nodes.diffusion.samplers import SAMPLERS, Guided
from comfykernel_core_nodes.diffusion.sigmas import FlowLevels

EPS_SIGMAS = [14.614643, 7.902934, 4.0277386, 1.9103563, 0.828868, 0.32111964, 0.10719845, 0.029167177, 0.0]
FLOW_SIGMAS = [1.0, 0.95454544, 0.9, 0.8333333, 0.75, 0.64285713, 0.5, 0.3, 0.0]

# Sampler -> (guidance scale, model calls, first values of the latent after eight steps from seed 42).
Recorded = dict[str, tuple[float, int, list[float]]]
EPS: Recorded = {
    "euler": (3.0, 8, [4.71591, 4.55163, 3.08330]),
    "euler_cfg_pp": (3.0, 8, [7.80933, 7.59513, 4.92178]),
    "euler_ancestral": (3.0, 8, [4.14280, 3.61723, 1.95092]),
    "euler_ancestral_cfg_pp": (3.0, 8, [4.69575, 4.46919, 2.32910]),
    "heun": (3.0, 15, [4.76731, 4.69718, 3.37534]),
    "heunpp2": (1.0, 21, [1.67192, 1.50453, 1.20116]),
    "dpm_2": (3.0, 15, [4.76680, 4.67555, 3.30443]),
    "dpm_2_ancestral": (3.0, 15, [4.29398, 2.50681, 1.53577]),
    "lms": (1.0, 8, [1.73699, 1.55726, 1.24228]),
    "dpm_fast": (1.0, 8, [1.88190, 1.67332, 1.33235]),
    "dpm_adaptive": (3.0, 21, [4.79516, 4.64281, 3.36134]),
    "dpmpp_2s_ancestral": (3.0, 15, [4.28621, 2.98678, 1.69003]),
    "dpmpp_2s_ancestral_cfg_pp": (3.0, 15, [4.76485, 4.70148, 2.92981]),
    "dpmpp_sde": (3.0, 15, [4.27600, 4.38821, 1.97652]),
    "dpmpp_sde_gpu": (3.0, 15, [4.27600, 4.38821, 1.97652]),
    "dpmpp_2m": (3.0, 8, [4.79508, 4.68740, 3.15260]),
    "dpmpp_2m_cfg_pp": (3.0, 8, [14.48680, 13.47601, 10.75989]),
    "dpmpp_2m_sde": (3.0, 8, [4.11312, 4.08861, 2.04520]),
    "dpmpp_2m_sde_gpu": (3.0, 8, [4.11312, 4.08861, 2.04520]),
    "dpmpp_2m_sde_heun": (3.0, 8, [3.96500, 4.08074, 1.88293]),
    "dpmpp_2m_sde_heun_gpu": (3.0, 8, [3.96500, 4.08074, 1.88293]),
    "dpmpp_3m_sde": (3.0, 8, [3.87174, 4.51139, 1.68533]),
    "dpmpp_3m_sde_gpu": (3.0, 8, [3.87174, 4.51139, 1.68533]),
    "ddpm": (3.0, 8, [4.14280, 3.61723, 1.95092]),
    "lcm": (3.0, 8, [4.31511, 3.97463, 2.00206]),
    "ipndm": (3.0, 8, [4.75663, 4.67546, 3.32579]),
    "ipndm_v": (3.0, 8, [4.76234, 4.64666, 3.19918]),
    "deis": (3.0, 8, [4.75283, 4.62577, 3.13451]),
    "res_multistep": (1.0, 8, [1.91090, 1.69295, 1.34351]),
    "res_multistep_cfg_pp": (3.0, 8, [5.38898, 4.88655, 3.66225]),
    "res_multistep_ancestral": (3.0, 8, [3.96574, 3.04070, 1.52206]),
    "res_multistep_ancestral_cfg_pp": (3.0, 8, [0.57261, 0.35859, -0.62850]),
    "gradient_estimation": (3.0, 8, [4.78231, 4.67951, 3.24695]),
    "gradient_estimation_cfg_pp": (3.0, 8, [5.63319, 5.19599, 4.64657]),
    "er_sde": (3.0, 8, [4.66111, 4.56302, 2.03343]),
    "seeds_2": (3.0, 15, [3.66808, 4.28831, 1.73933]),
    "seeds_3": (3.0, 22, [4.61085, 2.88103, 1.74511]),
    "sa_solver": (3.0, 8, [3.05742, 4.61633, 1.85362]),
    "sa_solver_pece": (3.0, 15, [3.49232, 4.61560, 1.85247]),
    "ddim": (1.0, 8, [1.66104, 1.49636, 1.19476]),
    "uni_pc": (3.0, 8, [4.75505, 4.69745, 3.72098]),
    "uni_pc_bh2": (3.0, 8, [4.75043, 4.67989, 3.60682]),
}
FLOW: Recorded = {
    "euler": (3.0, 8, [4.70393, 4.11415, 3.02564]),
    "euler_cfg_pp": (3.0, 8, [7.34363, 6.54240, 5.21640]),
    "euler_ancestral": (3.0, 8, [3.45943, 3.28961, 2.67756]),
    "euler_ancestral_cfg_pp": (3.0, 8, [4.34423, 4.05458, 3.10235]),
    "heun": (3.0, 15, [4.89449, 4.24567, 3.02452]),
    "heunpp2": (1.0, 21, [1.70074, 1.51353, 1.14859]),
    "dpm_2": (3.0, 15, [4.88474, 4.23036, 3.02285]),
    "dpm_2_ancestral": (3.0, 15, [3.23034, 3.12080, 2.55959]),
    "lms": (3.0, 8, [4.86669, 4.21639, 3.02655]),
    "dpm_fast": (1.0, 8, [1.58904, 1.36262, 0.97900]),
    "dpm_adaptive": (3.0, 15, [3.65591, 3.19184, 2.39536]),
    "dpmpp_2s_ancestral": (1.0, 15, [0.62773, 0.73586, 0.45860]),
    "dpmpp_2s_ancestral_cfg_pp": (3.0, 15, [10.89355, 10.17046, 7.81661]),
    "dpmpp_sde": (1.0, 15, [0.71450, 0.85747, 0.63308]),
    "dpmpp_sde_gpu": (3.0, 15, [3.40046, 3.31972, 2.68639]),
    "dpmpp_2m": (3.0, 8, [4.84535, 4.18109, 3.01010]),
    "dpmpp_2m_cfg_pp": (3.0, 8, [21.06421, 19.74224, 15.78609]),
    "dpmpp_2m_sde": (3.0, 8, [3.45157, 3.31702, 2.71142]),
    "dpmpp_2m_sde_gpu": (1.0, 8, [0.76557, 0.81582, 0.69878]),
    "dpmpp_2m_sde_heun": (3.0, 8, [3.43244, 3.29851, 2.70625]),
    "dpmpp_2m_sde_heun_gpu": (3.0, 8, [3.43244, 3.29851, 2.70625]),
    "dpmpp_3m_sde": (3.0, 8, [3.25348, 3.20132, 2.69722]),
    "dpmpp_3m_sde_gpu": (1.0, 8, [0.67224, 0.77680, 0.66781]),
    "ddpm": (3.0, 8, [5.00328, 4.68941, 3.34445]),
    "lcm": (3.0, 8, [3.49766, 3.29003, 2.76904]),
    "ipndm": (3.0, 8, [4.82686, 4.18408, 3.02040]),
    "ipndm_v": (1.0, 8, [1.73529, 1.53682, 1.15925]),
    "deis": (3.0, 8, [4.85837, 4.20765, 3.02120]),
    "res_multistep": (3.0, 8, [4.85595, 4.18675, 3.00908]),
    "res_multistep_cfg_pp": (3.0, 8, [16.07722, 14.98083, 12.39020]),
    "res_multistep_ancestral": (3.0, 8, [5.27457, 4.99207, 3.29085]),
    "res_multistep_ancestral_cfg_pp": (3.0, 8, [9.75760, 8.60092, 7.04280]),
    "gradient_estimation": (1.0, 8, [1.72335, 1.53059, 1.15884]),
    "gradient_estimation_cfg_pp": (3.0, 8, [16.10349, 15.01886, 12.33180]),
    "er_sde": (3.0, 8, [3.67023, 3.55671, 2.60809]),
    "seeds_2": (1.0, 15, [0.94799, 0.43212, 0.14855]),
    "seeds_3": (3.0, 22, [3.74759, 3.26021, 2.73100]),
    "sa_solver": (3.0, 8, [3.47730, 3.41497, 2.34803]),
    "sa_solver_pece": (3.0, 15, [3.36363, 3.34432, 2.30232]),
    "ddim": (3.0, 8, [4.70393, 4.11415, 3.02564]),
    "uni_pc": (1.0, 8, [1.74450, 1.54725, 1.17024]),
    "uni_pc_bh2": (3.0, 8, [4.86184, 4.19744, 3.01280]),
}


def clean_picture(shape: torch.Size, weight: float) -> Tensor:
    steps = torch.arange(shape[1:].numel(), dtype=torch.float32).view(1, *shape[1:])
    return weight * torch.cos(0.37 * steps)


def predict_noise_kind(x: Tensor, sigma: Tensor, weight: float) -> Tensor:
    """Best guess for clean pictures of variance 1/4 around `clean_picture`, with a bend."""
    variance = sigma**2
    guess = (0.25 * x + variance * clean_picture(x.shape, weight)) / (0.25 + variance)
    return guess + 0.05 * weight * torch.sin(2.0 * x / torch.sqrt(1.0 + variance))


def predict_flow_kind(x: Tensor, sigma: Tensor, weight: float) -> Tensor:
    """The same for a rectified flow."""
    kept, clean = 1.0 - sigma, clean_picture(x.shape, weight)
    share = kept * 0.25 / (kept**2 * 0.25 + sigma**2)
    return clean + share * (x - kept * clean) + 0.05 * weight * torch.sin(2.0 * x)


@dataclass
class FormulaModel:
    flow: bool
    scale: float
    calls: list[float] = field(default_factory=list)

    def guided(self, x: Tensor, sigma: Tensor) -> Guided:
        self.calls.append(float(sigma))
        predict = predict_flow_kind if self.flow else predict_noise_kind
        cond, uncond = predict(x, sigma, 1.0), predict(x, sigma, -0.5)
        return Guided(uncond + (cond - uncond) * self.scale, uncond)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.guided(x, sigma).denoised


def run(name: str, sampling: ModelSampling, model: FormulaModel, sigmas: Tensor) -> Tensor:
    latent = torch.zeros(1, 4, 8, 8)
    x = sampling.path.add_noise(latent, start_noise(latent, 42), sigmas[0], full=True)
    steps: list[int] = []
    result = SAMPLERS[name](model, x, sigmas, sampling.path, 42, lambda step, _denoised, _x: steps.append(step))
    assert steps == list(range(len(steps)))
    assert steps
    return sampling.path.remove_scale(result, sigmas[-1])


def check(name: str, recorded: Recorded, sampling: ModelSampling, sigmas: Tensor, *, flow: bool) -> None:
    scale, calls, values = recorded[name]
    model = FormulaModel(flow, scale)
    result = run(name, sampling, model, sigmas)
    assert len(model.calls) == calls
    torch.testing.assert_close(result[0, 0, 0, :3], torch.tensor(values), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", SAMPLERS)
def test_noise_model_gives_the_recorded_latent(name: str) -> None:
    check(name, EPS, ModelSampling.epsilon(), torch.tensor(EPS_SIGMAS), flow=False)


@pytest.mark.parametrize("name", SAMPLERS)
def test_flow_model_gives_the_recorded_latent(name: str) -> None:
    check(name, FLOW, ModelSampling.flow(FlowLevels(shift=3.0)), torch.tensor(FLOW_SIGMAS), flow=True)
