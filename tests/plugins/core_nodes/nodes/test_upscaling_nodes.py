"""Upscaling networks from files: sizes, tiles, steps that clients see, memory that runs out, files of other kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.esrgan import Esrgan, EsrganConfig
from comfykernel_core_nodes.diffusion.upscalers import Upscaler
from comfykernel_sdk.errors import BadInput, Interrupted, ModelFileError


@pytest.fixture
def run(node_run: Callable[..., Any], weight_tensor: Callable[..., Tensor]) -> Any:
    run = node_run()
    folder = run.base / "models/upscale_models"
    folder.mkdir()
    network = Esrgan(EsrganConfig(width=8, growth=4, blocks=1, doublings=1))
    save_file(
        {key: weight_tensor(key, tensor.shape) for key, tensor in network.state_dict().items()},
        folder / "x2.safetensors",
    )
    save_file({"model.diffusion_model.a": torch.zeros(1)}, folder / "other.safetensors")
    return run


@pytest.fixture
def model(run: Any) -> Upscaler:
    loaded: Upscaler = run.node("UpscaleModelLoader", model_name="x2.safetensors")
    return loaded


def test_pictures_become_larger_and_steps_are_told(run: Any, model: Upscaler) -> None:
    image = torch.rand(2, 40, 600, 4)
    enlarged = run.node("ImageUpscaleWithModel", upscale_model=model, image=image)
    assert tuple(enlarged.shape) == (2, 80, 1200, 3)
    assert float(enlarged.min()) >= 0
    assert float(enlarged.max()) <= 1
    assert [step[:2] for step in run.context.steps] == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_it_stops_between_tiles(run: Any, model: Upscaler) -> None:
    run.context.cancel_at = 1
    with pytest.raises(Interrupted):
        run.node("ImageUpscaleWithModel", upscale_model=model, image=torch.rand(1, 40, 600, 3))


class SmallMemory:
    """An upscaler on a device that holds tiles up to a size."""

    def __init__(self, inner: Upscaler, largest: int) -> None:
        self.inner, self.largest, self.tried = inner, largest, list[int]()

    def upscale(self, images: Tensor, *, tile: int, **options: Any) -> Tensor:
        self.tried.append(tile)
        if tile > self.largest:
            raise torch.OutOfMemoryError
        return self.inner.upscale(images, tile=tile, **options)


def test_tiles_are_halved_while_memory_runs_out(run: Any, model: Upscaler) -> None:
    small = SmallMemory(model, 128)
    image = torch.rand(1, 40, 200, 3)
    enlarged = run.node("ImageUpscaleWithModel", upscale_model=small, image=image)
    assert small.tried == [512, 256, 128]
    assert tuple(enlarged.shape) == (1, 80, 400, 3)


def test_too_little_memory_is_told(run: Any, model: Upscaler) -> None:
    with pytest.raises(BadInput, match="memory of the device is out at enlarging") as error:
        run.node("ImageUpscaleWithModel", upscale_model=SmallMemory(model, 0), image=torch.rand(1, 8, 8, 3))
    assert error.value.type == "out_of_memory"


def test_files_and_pictures_of_other_kinds(run: Any, model: Upscaler) -> None:
    with pytest.raises(ModelFileError, match=r"other\.safetensors: holds no upscaling model.*a checkpoint"):
        run.node("UpscaleModelLoader", model_name="other.safetensors")
    with pytest.raises(BadInput, match=r"\[batch, height, width, 3\]"):
        run.node("ImageUpscaleWithModel", upscale_model=model, image=torch.rand(1, 8, 8, 1))


@pytest.mark.parametrize(("ratio", "sides"), [(4.0, (20, 30)), (2.0, (10, 15)), (0.0, (1, 1))])
def test_what_the_diffusion_model_for_enlarging_sees(run: Any, ratio: float, sides: tuple[int, int]) -> None:
    plain = [Conditioning(torch.zeros(1, 77, 64))]
    images = torch.rand(2, 20, 30, 3)
    positive, negative, latent = run.node(
        "SD_4XUpscale_Conditioning", images=images, positive=plain, negative=plain, scale_ratio=ratio,
        noise_augmentation=0.25,
    )  # fmt: skip
    seen = positive[0].extra["concat_image"]
    assert tuple(seen.shape) == (2, 3, *sides)
    assert tuple(latent["samples"].shape) == (2, 4, *sides)
    assert negative[0].extra["noise_augmentation"] == 0.25
    if ratio == 4.0:
        assert torch.allclose(seen, images.movedim(-1, 1) * 2 - 1)
