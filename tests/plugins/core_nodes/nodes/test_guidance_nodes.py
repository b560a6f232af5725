"""Nodes of guidance: what they hand to the library, what they refuse, and that a sampler follows them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from comfykernel_core_nodes.nodes.guidance.weakened import numbers
from comfykernel_sdk.errors import BadInput

WINDOWS = {
    "context_length": 2, "context_overlap": 1, "context_schedule": "standard_static", "context_stride": 1,
    "closed_loop": False, "fuse_method": "flat", "dim": 0,
}  # fmt: skip
CACHE = {"reuse_threshold": 3.0, "start_percent": 0.0, "end_percent": 1.0, "verbose": True}


class Guided:
    """A run with a loaded model and two conditions."""

    def __init__(self, run: Any) -> None:
        self.node = run.node
        self.model, clip, _ = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
        self.positive = run.node("CLIPTextEncode", text="a red circle", clip=clip)
        self.negative = run.node("CLIPTextEncode", text="", clip=clip)

    def sampled(self, model: Any = None, *, cfg: float = 3.0, batch: int = 1, sampler: str = "euler") -> torch.Tensor:
        done = self.node(
            "KSampler", model=model or self.model, positive=self.positive, negative=self.negative, seed=1, steps=4,
            cfg=cfg, sampler_name=sampler, scheduler="normal", denoise=1.0,
            latent_image={"samples": torch.zeros(batch, 4, 8, 8)},
        )  # fmt: skip
        samples: torch.Tensor = done["samples"]
        return samples


@pytest.fixture
def made(node_run: Callable[..., Any], tiny_checkpoint: Path) -> Guided:
    run = node_run()
    (run.base / "models/checkpoints/tiny.safetensors").symlink_to(tiny_checkpoint)
    return Guided(run)


@pytest.mark.parametrize(
    ("node", "inputs"),
    [
        ("RescaleCFG", {"multiplier": 0.7}),
        ("RenormCFG", {"cfg_trunc": 100.0, "renorm_cfg": 1.0}),
        ("CFGNorm", {"strength": 1.0}),
        ("CFGZeroStar", {}),
        ("TCFG", {}),
        ("APG", {"eta": 0.3, "norm_threshold": 5.0, "momentum": -0.5}),
        ("Mahiro", {}),
        ("FreSca", {"scale_low": 1.0, "scale_high": 1.5, "freq_cutoff": 2}),
        ("Epsilon Scaling", {"scaling_factor": 1.1}),
        ("TemporalScoreRescaling", {"tsr_k": 0.8, "tsr_sigma": 1.0}),
        ("CFGOverride", {"cfg": 1.0, "start_percent": 0.0, "end_percent": 0.5}),
        ("VideoLinearCFGGuidance", {"min_cfg": 1.0}),
        ("PerturbedAttentionGuidance", {"scale": 3.0}),
        ("SelfAttentionGuidance", {"scale": 0.5, "blur_sigma": 2.0}),
        ("EasyCache", CACHE),
        ("LazyCache", CACHE),
        ("ModelNoiseScale", {"noise_scale": 1.2}),
    ],
)
def test_a_sampler_follows_the_node_and_the_model_before_it_stays(
    made: Guided, node: str, inputs: dict[str, Any]
) -> None:
    plain = made.sampled()
    changed = made.sampled(made.node(node, model=made.model, **inputs))
    assert bool(torch.isfinite(changed).all())
    assert not torch.allclose(changed, plain, rtol=1e-3, atol=1e-3)
    assert torch.equal(made.sampled(), plain)


def test_samplers_that_read_the_negative_prediction_take_guidance_too(made: Guided) -> None:
    guided = made.node("PerturbedAttentionGuidance", model=made.model, scale=2.0)
    plain = made.sampled(cfg=1.0, sampler="euler_cfg_pp")
    assert not torch.allclose(made.sampled(guided, cfg=1.0, sampler="euler_cfg_pp"), plain)


def test_layers_are_the_numbers_of_a_text() -> None:
    assert numbers("7, 8, 9") == {7, 8, 9}
    assert numbers("blocks 1 and 12;") == {1, 12}
    assert numbers("") == frozenset()


def test_without_layers_nothing_is_skipped(made: Guided) -> None:
    inputs = {"double_layers": "", "single_layers": "", "start_percent": 0.0, "end_percent": 1.0}
    simple = made.node("SkipLayerGuidanceDiTSimple", model=made.model, **inputs)
    guided = made.node("SkipLayerGuidanceDiT", model=simple, **inputs, scale=3.0, rescaling_scale=1.0)
    assert torch.equal(made.sampled(guided), made.sampled())


def test_windows_that_would_not_go_on_are_refused(made: Guided) -> None:
    with pytest.raises(BadInput, match="cannot overlap by 2"):
        made.node("ContextWindowsManual", model=made.model, **{**WINDOWS, "context_overlap": 2})
    windowed = made.node("ContextWindowsManual", model=made.model, **WINDOWS)
    torch.testing.assert_close(made.sampled(windowed, batch=3), made.sampled(batch=3), rtol=1e-3, atol=1e-2)


def test_a_windowed_dimension_that_the_latent_lacks_is_told(made: Guided) -> None:
    windowed = made.node("ContextWindowsManual", model=made.model, **{**WINDOWS, "dim": 5})
    with pytest.raises(BadInput, match="dimension 5"):
        made.sampled(windowed, batch=3)


def test_operations_keep_what_a_latent_carries_and_the_latent_itself(made: Guided) -> None:
    samples = torch.randn(2, 4, 8, 8)
    latent = {"samples": samples, "noise_mask": torch.ones(1, 8, 8)}
    before = samples.clone()
    sharpen = made.node("LatentOperationSharpen", sharpen_radius=3, sigma=1.0, alpha=0.0)
    kept = made.node("LatentApplyOperation", samples=latent, operation=sharpen)
    torch.testing.assert_close(kept["samples"], samples)
    assert kept["noise_mask"] is latent["noise_mask"]
    tonemap = made.node("LatentOperationTonemapReinhard", multiplier=1.0)
    mapped = made.node("LatentApplyOperation", samples=latent, operation=tonemap)["samples"]
    assert bool((mapped.norm(dim=1) <= samples.norm(dim=1)).all())
    assert torch.equal(samples, before)
    wide = made.node("LatentOperationSharpen", sharpen_radius=31, sigma=1.0, alpha=0.1)
    assert bool(
        torch.isfinite(made.sampled(made.node("LatentApplyOperationCFG", model=made.model, operation=wide))).all()
    )
