"""Custom sampling on a tiny model: the parts make the same run as a KSampler, both outputs, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from comfykernel_core_nodes.nodes.sampling.noise import SeededNoise
from comfykernel_sdk.errors import BadInput, Interrupted

LATENT = (1, 4, 8, 8)


class Parts:
    """A loaded model, two conditions, and the nodes that a run is made of."""

    def __init__(self, run: Any) -> None:
        self.run = run
        self.model, clip, _ = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
        self.positive = run.node("CLIPTextEncode", text="a red circle", clip=clip)
        self.negative = run.node("CLIPTextEncode", text="", clip=clip)

    def sigmas(self, steps: int = 3, denoise: float = 1.0, scheduler: str = "normal") -> Tensor:
        found = self.run.node(
            "BasicScheduler", model=self.model, scheduler=scheduler, steps=steps, denoise=denoise
        )  # fmt: skip
        assert isinstance(found, Tensor)
        return found

    def custom(self, latent: dict[str, Any], sampler: object = "euler", **changes: object) -> Any:
        chosen = self.run.node("KSamplerSelect", sampler_name=sampler) if isinstance(sampler, str) else sampler
        inputs: dict[str, object] = {
            "add_noise": True, "noise_seed": 1, "cfg": 2.0, "sigmas": self.sigmas(), "sampler": chosen,
        }  # fmt: skip
        return self.run.node(
            "SamplerCustom", model=self.model, positive=self.positive, negative=self.negative, latent_image=latent,
            **{**inputs, **changes},
        )  # fmt: skip

    def guided(self, latent: dict[str, Any], **changes: object) -> Any:
        inputs: dict[str, object] = {
            "noise": SeededNoise(1), "sigmas": self.sigmas(),
            "sampler": self.run.node("KSamplerSelect", sampler_name="euler"),
            "guider": self.run.node(
                "CFGGuider", model=self.model, positive=self.positive, negative=self.negative, cfg=2.0
            ),
        }  # fmt: skip
        return self.run.node("SamplerCustomAdvanced", latent_image=latent, **{**inputs, **changes})

    def simple(self, latent: dict[str, Any], sampler: str = "euler") -> Tensor:
        result = self.run.node(
            "KSampler", model=self.model, positive=self.positive, negative=self.negative, latent_image=latent, seed=1,
            steps=3, cfg=2.0, sampler_name=sampler, scheduler="normal", denoise=1.0,
        )  # fmt: skip
        found = result["samples"]
        assert isinstance(found, Tensor)
        return found


@pytest.fixture
def parts(node_run: Callable[..., Any], tiny_checkpoint: Path) -> Parts:
    run = node_run()
    (run.base / "models/checkpoints/tiny.safetensors").symlink_to(tiny_checkpoint)
    return Parts(run)


def empty() -> dict[str, Any]:
    return {"samples": torch.zeros(LATENT)}


def test_all_three_ways_make_the_same_latent(parts: Parts) -> None:
    plain = parts.simple(empty())
    output, denoised = parts.custom(empty())
    advanced, _ = parts.guided(empty())
    assert torch.equal(output["samples"], plain)
    assert torch.equal(advanced["samples"], plain)
    # The last step ends at noise level 0, where the prediction is the result.
    torch.testing.assert_close(denoised["samples"], plain, rtol=1e-3, atol=1e-2)


def test_the_second_output_is_the_prediction_that_the_last_step_went_towards(parts: Parts) -> None:
    sigmas = parts.sigmas()[:2]
    output, denoised = (each["samples"] for each in parts.custom(empty(), sigmas=sigmas))
    start = SeededNoise(1).generate_noise(empty()) * (1 + sigmas[0] ** 2).sqrt()
    start, ratio = parts.model.latent_format.from_model(start), float(sigmas[1] / sigmas[0])
    torch.testing.assert_close(output, denoised + ratio * (start - denoised), rtol=1e-3, atol=1e-2)


def test_the_lcm_sampler_is_its_node_with_plain_noise(parts: Parts) -> None:
    plain = parts.run.node("SamplerLCM", s_noise=1.0, s_noise_end=1.0, noise_clip_std=0.0)
    quiet = parts.run.node("SamplerLCM", s_noise=1.0, s_noise_end=0.0, noise_clip_std=1.0)
    output, _ = parts.custom(empty(), sampler=plain)
    assert torch.equal(output["samples"], parts.simple(empty(), "lcm"))
    assert not torch.allclose(parts.custom(empty(), sampler=quiet)[0]["samples"], output["samples"], atol=1e-2)


def test_two_halves_of_a_schedule_are_the_run(parts: Parts) -> None:
    whole, _ = parts.guided(empty(), sigmas=parts.sigmas(4))
    high, low = parts.run.node("SplitSigmas", sigmas=parts.sigmas(4), step=2)
    half, _ = parts.guided(empty(), sigmas=high)
    rest, _ = parts.guided(half, sigmas=low, noise=parts.run.node("DisableNoise"))
    torch.testing.assert_close(rest["samples"], whole["samples"], rtol=1e-3, atol=1e-2)


def test_progress_is_reported_and_a_run_can_be_stopped(parts: Parts) -> None:
    parts.guided(empty())
    assert [(done, total) for done, total, _ in parts.run.context.steps] == [(1, 3), (2, 3), (3, 3)]
    parts.run.context.cancel_at = 4
    with pytest.raises(Interrupted):
        parts.guided(empty())


def test_an_empty_schedule_gives_the_latent_back(parts: Parts, normal_tensor: Callable[..., Tensor]) -> None:
    latent = {"samples": normal_tensor("latent", LATENT), "batch_index": [3]}
    output, denoised = parts.custom(latent, sigmas=parts.sigmas(denoise=0.0))
    assert torch.equal(output["samples"], latent["samples"])
    assert torch.equal(denoised["samples"], latent["samples"])
    assert output["batch_index"] == [3]


def test_ddim_keeps_what_is_masked_at_noise_of_its_own(parts: Parts, normal_tensor: Callable[..., Tensor]) -> None:
    mask = torch.zeros(1, 8, 8)
    mask[..., 4:] = 1.0
    latent = {"samples": normal_tensor("latent", LATENT), "noise_mask": mask}
    euler, ddim = parts.custom(latent)[0]["samples"], parts.custom(latent, "ddim")[0]["samples"]
    assert torch.equal(ddim, parts.simple(latent, "ddim"))
    assert not torch.allclose(ddim, euler, atol=1e-2)
    torch.testing.assert_close(ddim[..., :4], latent["samples"][..., :4], rtol=1e-3, atol=1e-3)


def test_guiders_agree_where_their_formulas_do(parts: Parts) -> None:
    model, positive, negative = parts.model, parts.positive, parts.negative
    node = parts.run.node
    basic = node("BasicGuider", model=model, conditioning=positive)
    one = node("CFGGuider", model=model, positive=positive, negative=negative, cfg=1.0)
    torch.testing.assert_close(
        parts.guided(empty(), guider=basic)[0]["samples"], parts.guided(empty(), guider=one)[0]["samples"]
    )
    dual = node(
        "DualCFGGuider", model=model, cond1=positive, cond2=positive, negative=negative, cfg_conds=1.0,
        cfg_cond2_negative=2.0, style="regular",
    )  # fmt: skip
    torch.testing.assert_close(
        parts.guided(empty(), guider=dual)[0]["samples"], parts.guided(empty())[0]["samples"], rtol=1e-3, atol=1e-2
    )


def test_noise_is_added_as_far_as_a_schedule_goes(parts: Parts, normal_tensor: Callable[..., Tensor]) -> None:
    latent, noise = {"samples": normal_tensor("latent", LATENT)}, parts.run.node("RandomNoise", noise_seed=5)
    sigmas = torch.tensor([3.0, 2.0, 0.5])
    noisy = parts.run.node("AddNoise", model=parts.model, noise=noise, sigmas=sigmas, latent_image=latent)
    added = parts.model.latent_format.to_model(noisy["samples"] - latent["samples"])
    torch.testing.assert_close(added, 2.5 * noise.generate_noise(latent), rtol=1e-4, atol=1e-4)
    same = parts.run.node("AddNoise", model=parts.model, noise=noise, sigmas=torch.empty(0), latent_image=latent)
    assert torch.equal(same["samples"], latent["samples"])


def test_consistency_sampling_upscales_on_the_way(parts: Parts) -> None:
    sampler = parts.run.node("SamplerLCMUpscale", scale_ratio=1.5, scale_steps=-1, upscale_method="bislerp")
    output, _ = parts.guided(empty(), sampler=sampler)
    assert output["samples"].shape == (1, 4, 12, 12)
    with pytest.raises(BadInput, match="where no mask is"):
        parts.guided({**empty(), "noise_mask": torch.ones(1, 8, 8)}, sampler=sampler)


@pytest.mark.parametrize(
    ("changes", "type", "told"),
    [
        ({"sigmas": torch.tensor([1.0, float("nan"), 0.0])}, "invalid_schedule", "Sigma 1 of 3 is nan"),
        ({"latent": {"samples": torch.full(LATENT, float("nan"))}}, "invalid_latent", "256 of 256"),
        ({"latent": {"samples": torch.ones(1, 16, 8, 8)}}, "invalid_shape", r"\[1, 16, 8, 8\]"),
        ({"latent": {**empty(), "batch_index": [0, 1]}}, "invalid_shape", "batch_index"),
    ],
)
def test_what_makes_no_sense_is_told(parts: Parts, changes: dict[str, Any], type: str, told: str) -> None:
    with pytest.raises(BadInput, match=told) as caught:
        parts.guided(**{"latent": empty(), **changes})
    assert caught.value.type == type


def test_levels_that_rise_are_followed_or_refused(parts: Parts) -> None:
    flipped = parts.run.node("FlipSigmas", sigmas=parts.sigmas())
    noisy, _ = parts.guided(empty(), sigmas=flipped, noise=parts.run.node("DisableNoise"))
    assert bool(torch.isfinite(noisy["samples"]).all())
    with pytest.raises(BadInput, match="does not fall"):
        parts.custom(empty(), "dpmpp_2m_sde", sigmas=torch.tensor([2.0, 2.0, 0.0]))


@pytest.mark.parametrize(
    ("node", "inputs", "told"),
    [
        ("SetFirstSigma", {"sigmas": torch.empty(0), "sigma": 1.0}, "empty"),
        ("ManualSigmas", {"sigmas": "-"}, "no number"),
        ("KarrasScheduler", {"steps": 3, "sigma_max": 14.0, "sigma_min": 0.03, "rho": 0.0}, "rho"),
        ("ExponentialScheduler", {"steps": 3, "sigma_max": 14.0, "sigma_min": 0.0}, "sigma_min 0"),
        ("VPScheduler", {"steps": 3, "beta_d": 5000.0, "beta_min": 0.1, "eps_s": 0.001}, "beta_d 5000"),
        ("GITSScheduler", {"coeff": 1.23, "steps": 10, "denoise": 1.0}, "1.23"),
    ],
)
def test_schedules_that_cannot_be_made_are_told(parts: Parts, node: str, inputs: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        parts.run.node(node, **inputs)


@pytest.mark.parametrize(
    ("node", "inputs", "sigma_max"),
    [
        ("ModelSamplingDiscrete", {"sampling": "v_prediction", "zsnr": True}, 4518.76),
        ("ModelSamplingContinuousEDM", {"sampling": "edm", "sigma_max": 120.0, "sigma_min": 0.002}, 120.0),
        ("ModelSamplingContinuousEDM", {"sampling": "cosmos_rflow", "sigma_max": 80.0, "sigma_min": 0.002}, 80.0),
        ("ModelSamplingContinuousV", {"sampling": "v_prediction", "sigma_max": 500.0, "sigma_min": 0.03}, 500.0),
        ("ModelSamplingSD3", {"shift": 3.0}, 1.0),
        ("ModelSamplingLTXV", {"max_shift": 2.05, "base_shift": 0.95}, 1.0),
    ],
)
def test_a_model_is_sampled_over_other_levels(
    parts: Parts, node: str, inputs: dict[str, Any], sigma_max: float
) -> None:
    changed = parts.run.node(node, model=parts.model, **inputs)
    assert changed.sampling.sigma_max == pytest.approx(sigma_max, rel=1e-5)
    assert parts.model.sampling.sigma_max == pytest.approx(14.6146, rel=1e-5)
    assert changed.weights is parts.model.weights


def test_bounds_of_levels_in_the_wrong_order_are_told(parts: Parts) -> None:
    with pytest.raises(BadInput, match=r"sigma_min is 2 and sigma_max 1"):
        parts.run.node(
            "ModelSamplingContinuousEDM", model=parts.model, sampling="eps", sigma_max=1.0, sigma_min=2.0
        )  # fmt: skip


def test_a_model_computes_in_the_precision_that_is_chosen(parts: Parts) -> None:
    half = parts.run.node("ModelComputeDtype", model=parts.model, dtype="bf16")
    assert next(half.ready().network.parameters()).dtype == torch.bfloat16
    full = parts.run.node("ModelComputeDtype", model=half, dtype="fp32")
    assert next(full.ready().network.parameters()).dtype == torch.float32
