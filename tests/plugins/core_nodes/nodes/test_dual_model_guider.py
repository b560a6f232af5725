"""Guidance between two models: formula, neutral values, a negative side without text, and models that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.latent_formats import SDXL
from comfykernel_core_nodes.nodes.sampling.noise import SeededNoise
from comfykernel_sdk.errors import BadInput

LAYER = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_v"


class Runs:
    """One step of a run, from the same noise, so that its result is one guided prediction."""

    def __init__(self, run: Any) -> None:
        self.run = run
        self.model, clip, _ = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
        self.positive = run.node("CLIPTextEncode", text="a red circle", clip=clip)
        self.negative = run.node("CLIPTextEncode", text="blurry", clip=clip)
        self.other = run.node("FreeU_V2", model=self.model, b1=1.3, b2=1.4, s1=0.9, s2=0.2)

    def sampled(self, guider: object) -> Tensor:
        sigmas = self.run.node("BasicScheduler", model=self.model, scheduler="normal", steps=1, denoise=1.0)
        _, denoised = self.run.node(
            "SamplerCustomAdvanced", noise=SeededNoise(3), guider=guider, sigmas=sigmas,
            sampler=self.run.node("KSamplerSelect", sampler_name="euler"),
            latent_image={"samples": torch.zeros(1, 4, 8, 8)},
        )  # fmt: skip
        samples = denoised["samples"]
        assert isinstance(samples, Tensor)
        return samples

    def alone(self, model: object, conditions: object) -> Tensor:
        return self.sampled(self.run.node("BasicGuider", model=model, conditioning=conditions))

    def dual(self, cfg: float, **inputs: object) -> Tensor:
        return self.sampled(
            self.run.node("DualModelGuider", model=self.model, positive=self.positive, cfg=cfg, **inputs)
        )


@pytest.fixture
def runs(node_run: Callable[..., Any], tiny_checkpoint: Path) -> Runs:
    run = node_run()
    (run.base / "models/checkpoints/tiny.safetensors").symlink_to(tiny_checkpoint)
    return Runs(run)


def test_with_one_model_it_is_classifier_free_guidance(runs: Runs) -> None:
    plain = runs.run.node("CFGGuider", model=runs.model, positive=runs.positive, negative=runs.negative, cfg=3.0)
    torch.testing.assert_close(runs.dual(3.0, negative=runs.negative), runs.sampled(plain))
    same = runs.dual(3.0, negative=runs.negative, model_negative=runs.model)
    torch.testing.assert_close(same, runs.sampled(plain))


def test_each_model_predicts_for_its_own_side(runs: Runs) -> None:
    good, bad = runs.alone(runs.model, runs.positive), runs.alone(runs.other, runs.negative)
    assert not torch.allclose(bad, runs.alone(runs.model, runs.negative), atol=1e-3)
    dual = runs.dual(2.5, negative=runs.negative, model_negative=runs.other)
    torch.testing.assert_close(dual, bad + (good - bad) * 2.5, rtol=1e-3, atol=1e-3)


def test_at_scale_one_only_the_first_model_counts(runs: Runs) -> None:
    dual = runs.dual(1.0, negative=runs.negative, model_negative=runs.other)
    torch.testing.assert_close(dual, runs.alone(runs.model, runs.positive))


def test_without_a_negative_side_the_other_model_sees_no_text(runs: Runs) -> None:
    good, bad = (
        runs.alone(runs.model, runs.positive),
        runs.alone(runs.other, [runs.positive[0].without_text()]),
    )
    torch.testing.assert_close(runs.dual(2.0, model_negative=runs.other), bad + (good - bad) * 2, rtol=1e-3, atol=1e-3)
    assert torch.isfinite(runs.dual(2.0)).all()


def test_what_else_a_condition_carries_stays_without_its_text() -> None:
    condition = Conditioning(
        torch.ones(1, 7, 4), torch.ones(1, 5), extra={"guidance": 3.0, "attention_bias": torch.ones(1)}
    )  # fmt: skip
    bare = condition.without_text()
    assert bare.pooled is not None
    assert (bare.tokens.shape, float(bare.pooled.sum()), dict(bare.extra)) == ((1, 0, 4), 0.0, {"guidance": 3.0})


def test_hooks_of_the_negative_side_are_laid_over_the_other_models_weights(
    runs: Runs, tiny_checkpoint: Path, normal_tensor: Any
) -> None:
    rows, columns = load_file(tiny_checkpoint)[f"model.{LAYER}.weight"].shape
    lora = {"lora_up.weight": normal_tensor("up", (rows, 2)), "lora_down.weight": normal_tensor("down", (2, columns))}
    save_file(
        {f"{LAYER}.{name}": tensor for name, tensor in lora.items()}, runs.run.base / "models/loras/a.safetensors"
    )
    hooks = runs.run.node("CreateHookLoraModelOnly", lora_name="a.safetensors", strength_model=1.0)
    hooked = runs.run.node(
        "ConditioningSetProperties", cond_NEW=runs.negative, strength=1.0, set_cond_area="default", hooks=hooks
    )  # fmt: skip
    good, bad = runs.alone(runs.model, runs.positive), runs.alone(runs.other, hooked)
    assert not torch.allclose(bad, runs.alone(runs.other, runs.negative), atol=1e-3)
    dual = runs.dual(2.0, negative=hooked, model_negative=runs.other)
    torch.testing.assert_close(dual, bad + (good - bad) * 2.0, rtol=1e-3, atol=1e-3)


def test_models_that_do_not_fit_are_refused(runs: Runs) -> None:
    with pytest.raises(BadInput, match=r"different latents: 4 channels in the scale 0\.18215 and 4 .* 0\.13025"):
        runs.dual(2.0, model_negative=replace(runs.model, latent_format=SDXL))
    flow = runs.run.node("ModelSamplingSD3", model=runs.model, shift=3.0)
    with pytest.raises(BadInput, match="Noise means something else"):
        runs.dual(2.0, model_negative=flow)
