"""Samplers and the autoencoder's nodes on a tiny model: progress, previews, interrupts, seeds, masks, partial runs."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from comfykernel_sdk.errors import BadInput, Interrupted


class Sampled:
    """A run with a loaded model and two conditions."""

    def __init__(self, run: Any) -> None:
        self.run = run
        self.model, clip, self.vae = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
        self.positive = run.node("CLIPTextEncode", text="a red circle", clip=clip)
        self.negative = run.node("CLIPTextEncode", text="", clip=clip)

    def simple(self, latent: dict[str, Any], **changes: object) -> dict[str, Any]:
        inputs: dict[str, object] = {
            "seed": 1, "steps": 3, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0
        }  # fmt: skip
        return self.run.node(
            "KSampler", model=self.model, positive=self.positive, negative=self.negative, latent_image=latent,
            **{**inputs, **changes},
        )  # fmt: skip

    def advanced(self, latent: dict[str, Any], **changes: object) -> dict[str, Any]:
        inputs: dict[str, object] = {
            "add_noise": "enable", "noise_seed": 1, "steps": 4, "cfg": 2.0, "sampler_name": "euler",
            "scheduler": "normal", "start_at_step": 0, "end_at_step": 10000, "return_with_leftover_noise": "disable",
        }  # fmt: skip
        return self.run.node(
            "KSamplerAdvanced", model=self.model, positive=self.positive, negative=self.negative, latent_image=latent,
            **{**inputs, **changes},
        )  # fmt: skip


@pytest.fixture
def make(node_run: Callable[..., Any], tiny_checkpoint: Path) -> Callable[..., Sampled]:
    def make(**execution: object) -> Sampled:
        run = node_run(**execution)
        (run.base / "models/checkpoints/tiny.safetensors").symlink_to(tiny_checkpoint)
        return Sampled(run)

    return make


def empty(batch: int = 1) -> dict[str, Any]:
    return {"samples": torch.zeros(batch, 4, 8, 8)}


def test_every_step_is_reported(make: Callable[..., Sampled]) -> None:
    sampled = make()
    sampled.simple(empty())
    assert sampled.run.context.steps == [(1, 3, None), (2, 3, None), (3, 3, None)]


@pytest.mark.parametrize("method", ["auto", "latent2rgb", "taesd"])
def test_previews_when_the_settings_ask_for_them(make: Callable[..., Sampled], method: str) -> None:
    sampled = make(preview_method=method, preview_size=64)
    sampled.simple(empty())
    for _, _, preview in sampled.run.context.steps:
        assert preview.format == "JPEG"
        with Image.open(io.BytesIO(preview.data)) as picture:
            assert picture.format == "JPEG"
            assert max(picture.size) <= 64


def test_interrupt_stops_within_a_step(make: Callable[..., Sampled]) -> None:
    sampled = make()
    sampled.run.context.cancel_at = 2
    with pytest.raises(Interrupted):
        sampled.simple(empty(), steps=20)
    assert len(sampled.run.context.steps) == 2


def test_same_seed_same_latent(make: Callable[..., Sampled]) -> None:
    sampled = make()
    first, again, other = (sampled.simple(empty(), seed=seed)["samples"] for seed in (2**64 - 1, 2**64 - 1, 7))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-3)


def test_batch_indices_choose_the_noise(make: Callable[..., Sampled]) -> None:
    sampled = make()
    second = sampled.simple({**empty(), "batch_index": [1]})["samples"]
    both = sampled.simple({**empty(2), "batch_index": [0, 1]})
    assert torch.allclose(both["samples"][1:], second, atol=1e-3)
    assert both["batch_index"] == [0, 1]


def test_noise_mask_keeps_the_rest(make: Callable[..., Sampled], normal_tensor: Callable[..., torch.Tensor]) -> None:
    sampled = make()
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 32:] = 1.0
    latent = {"samples": normal_tensor("latent", (1, 4, 8, 8)), "noise_mask": mask}
    result = sampled.simple(latent)
    assert torch.allclose(result["samples"][..., :4], latent["samples"][..., :4], atol=1e-4)
    assert not torch.allclose(result["samples"][..., 4:], latent["samples"][..., 4:], atol=1e-2)
    assert result["noise_mask"] is mask


def test_denoise_zero_changes_nothing(make: Callable[..., Sampled], normal_tensor: Callable[..., torch.Tensor]) -> None:
    latent = {"samples": normal_tensor("latent", (1, 4, 8, 8))}
    assert torch.equal(make().simple(latent, denoise=0.0)["samples"], latent["samples"])


def test_two_parts_of_a_run_are_the_run(make: Callable[..., Sampled]) -> None:
    sampled = make()
    whole = sampled.advanced(empty())["samples"]
    half = sampled.advanced(empty(), end_at_step=2, return_with_leftover_noise="enable")
    rest = sampled.advanced(half, add_noise="disable", start_at_step=2)["samples"]
    assert torch.allclose(rest, whole, atol=1e-3 * float(whole.abs().max()))
    finished = sampled.advanced(empty(), end_at_step=2)["samples"]
    assert not torch.allclose(finished, half["samples"], atol=1e-3)


def test_latent_of_another_model_is_refused(make: Callable[..., Sampled]) -> None:
    with pytest.raises(BadInput, match=r"Expected a latent \[batch, 4, height, width\]") as error:
        make().simple({"samples": torch.ones(1, 16, 8, 8)})
    assert error.value.type == "invalid_shape"


def test_pictures_go_through_the_autoencoder(make: Callable[..., Sampled], wavy_image: Callable[..., Any]) -> None:
    sampled = make()
    latent = sampled.run.node("VAEEncode", pixels=wavy_image("i", 2, 37, 45), vae=sampled.vae)
    assert tuple(latent["samples"].shape) == (2, 4, 4, 5)
    pictures = sampled.run.node("VAEDecode", samples=latent, vae=sampled.vae)
    assert tuple(pictures.shape) == (2, 32, 40, 3)
    assert float(pictures.min()) >= 0.0
    assert float(pictures.max()) <= 1.0


@pytest.mark.parametrize(("grow", "masked"), [(0, 1), (6, 36)])
def test_encode_for_inpainting_greys_the_masked_part(
    make: Callable[..., Sampled], wavy_image: Callable[..., Any], grow: int, masked: int
) -> None:
    sampled, mask = make(), torch.zeros(1, 32, 32)
    mask[0, 16, 16] = 1.0
    image = wavy_image("i", 1, 32, 32)
    latent = sampled.run.node("VAEEncodeForInpaint", pixels=image, vae=sampled.vae, mask=mask, grow_mask_by=grow)
    assert int(latent["noise_mask"].sum()) == masked
    image[0, 16, 16] = 0.5
    grey = sampled.run.node("VAEEncode", pixels=image, vae=sampled.vae)
    assert torch.allclose(latent["samples"], grey["samples"], atol=1e-5)
