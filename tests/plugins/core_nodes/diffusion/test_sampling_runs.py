"""Whole runs of a tiny model against recorded latents, and what a run promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion import latent_formats
from comfykernel_core_nodes.diffusion.checkpoints import load_checkpoint
from comfykernel_core_nodes.diffusion.condition_inputs import text_context
from comfykernel_core_nodes.diffusion.conditioning import Area, Conditioning
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.errors import LatentShapeError
from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_core_nodes.diffusion.sampling import sample_latent
from comfykernel_core_nodes.diffusion.unet import UNet
from comfykernel_core_nodes.diffusion.weights import TensorSource, Weights

NamedTensor = Callable[[str, tuple[int, ...]], Tensor]
EMPTY = torch.zeros(1, 4, 16, 16)


@pytest.fixture(scope="module")
def recorded_model(unet_tensors: dict[str, Tensor], build_unet: Callable[[], UNet]) -> DiffusionModel:
    shapes = {name: tuple(tensor.shape) for name, tensor in unet_tensors.items()}
    weights = Weights(build_unet, TensorSource(lambda: unet_tensors, shapes), "a test")
    return DiffusionModel(weights, ModelSampling.epsilon(), latent_formats.SD1, text_context)


def run(model: DiffusionModel, data: NamedTensor, **changes: Any) -> Tensor:
    settings: dict[str, Any] = {
        "positive": [Conditioning(data("cond/pos", (1, 77, 64)))],
        "negative": [Conditioning(data("cond/neg", (1, 77, 64)))],
        "latent": EMPTY,
        "seed": 42,
        "steps": 4,
        "cfg": 7.0,
        "sampler": "euler",
        "scheduler": "normal",
    }
    return sample_latent(model, **(settings | changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cfg": 1.0}, [146.2, 122.633, 41.31, -89.263]),
        ({"sampler": "dpmpp_2m", "scheduler": "karras"}, [97.306, 131.161, -9.884, -113.19]),
        ({"latent": "lat", "denoise": 0.5}, [8.074, 11.266, 7.932, -7.668]),
        (
            {"steps": 6, "cfg": 5.0, "end_step": 3},
            [111.066, 129.256, 15.265, -106.543],
        ),
    ],
    ids=["text to image", "dpmpp_2m", "image to image", "ends early"],
)
def test_run_gives_the_recorded_latent(
    recorded_model: DiffusionModel, data: NamedTensor, changes: dict[str, Any], expected: list[float]
) -> None:
    if changes.get("latent") == "lat":
        changes = changes | {"latent": data("ks/lat", (1, 4, 16, 16)) * 3.0}
    result = run(recorded_model, data, **changes)
    torch.testing.assert_close(result[0, 0, 0, :4], torch.tensor(expected), rtol=1e-3, atol=0.1)


def test_area_and_long_prompt_give_the_recorded_latents(recorded_model: DiffusionModel, data: NamedTensor) -> None:
    latent = torch.zeros(1, 4, 24, 24)
    area = Conditioning(data("cond/b", (1, 77, 64)), area=Area(16, 12, 4, 8))
    both = [Conditioning(data("cond/pos", (1, 77, 64))), area]
    result = run(recorded_model, data, latent=latent, positive=both)
    torch.testing.assert_close(
        result[0, 0, 0, :4], torch.tensor([281.333, 180.068, 110.64, -142.173]), rtol=1e-3, atol=0.3
    )
    long = [Conditioning(data("cond/long", (1, 154, 64)))]
    result = run(recorded_model, data, latent=latent, positive=long)
    torch.testing.assert_close(
        result[0, 0, 0, :4], torch.tensor([216.42, 205.898, -68.214, -180.812]), rtol=1e-3, atol=0.3
    )


@pytest.fixture(scope="module")
def model(checkpoint_file: Path) -> DiffusionModel:
    return load_checkpoint(checkpoint_file).model


SMALL = torch.zeros(1, 4, 8, 8)


@pytest.mark.parametrize("sampler", ["euler", "ddim", "dpmpp_2m_sde"])
def test_mask_keeps_the_rest_of_the_latent(model: DiffusionModel, data: NamedTensor, sampler: str) -> None:
    latent = data("kept", (2, 4, 8, 8))
    mask = torch.zeros(1, 64, 64)
    mask[..., 32:] = 1.0
    result = run(model, data, latent=latent, noise_mask=mask, sampler=sampler)
    torch.testing.assert_close(result[..., :3], latent[..., :3], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(result[..., 5:], latent[..., 5:], atol=0.1)


def test_callback_sees_every_step_and_its_exception_goes_through(model: DiffusionModel, data: NamedTensor) -> None:
    class Stopped(BaseException):
        pass

    seen: list[tuple[int, int]] = []

    def callback(step: int, clean: Tensor, x: Tensor, total: int) -> None:
        assert clean.shape == x.shape == SMALL.shape
        seen.append((step, total))
        if step == 2:
            raise Stopped

    with pytest.raises(Stopped):
        run(model, data, latent=SMALL, steps=8, callback=callback)
    assert seen == [(0, 8), (1, 8), (2, 8)]


def test_two_stages_make_one_run(model: DiffusionModel, data: NamedTensor) -> None:
    whole = run(model, data, latent=SMALL, steps=6)
    first = run(model, data, latent=SMALL, steps=6, end_step=3)
    second = run(model, data, latent=first, steps=6, start_step=3, add_noise=False)
    torch.testing.assert_close(second, whole, rtol=1e-3, atol=1e-2)


def test_nothing_to_do_gives_the_latent_back(model: DiffusionModel, data: NamedTensor) -> None:
    latent = data("kept", (1, 4, 8, 8))
    assert torch.equal(run(model, data, latent=latent, denoise=0.0), latent)
    assert torch.equal(run(model, data, latent=latent, start_step=9), latent)


def test_row_of_a_batch_can_be_made_alone(model: DiffusionModel, data: NamedTensor) -> None:
    batch = run(model, data, latent=SMALL.repeat(3, 1, 1, 1), steps=2)
    alone = run(model, data, latent=SMALL, steps=2, batch_index=[2])
    torch.testing.assert_close(alone, batch[2:], rtol=1e-3, atol=1e-2)


def test_result_is_an_ordinary_tensor(model: DiffusionModel, data: NamedTensor) -> None:
    result = run(model, data, latent=SMALL.half(), steps=1)
    assert result.dtype == torch.float32
    assert result.device.type == "cpu"
    assert not result.is_inference()


@pytest.mark.parametrize("shape", [(1, 16, 8, 8), (4, 8, 8), (0, 4, 8, 8)])
def test_latent_of_another_model_is_refused(model: DiffusionModel, data: NamedTensor, shape: tuple[int, ...]) -> None:
    with pytest.raises(LatentShapeError, match=r"\[batch, 4, height, width\]"):
        run(model, data, latent=torch.ones(shape))
