"""Hooks on conditions: where and when they act, what they leave alone, and how text models follow them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from comfykernel_core_nodes.diffusion.hook_points import Point
from comfykernel_sdk.errors import BadInput

UNET_LAYER = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_v"
TEXT_LAYER = "lora_te_text_model_encoder_layers_0_self_attn_v_proj"


class Hooked:
    """A run with a loaded model, two conditions, and a LoRA in the folder of LoRAs."""

    def __init__(self, run: Any) -> None:
        self.run = run
        self.node = run.node
        self.model, self.clip, _ = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
        self.positive = self.encoded("a red circle")
        self.negative = self.encoded("")

    def encoded(self, text: str, clip: Any = None) -> Any:
        return self.node("CLIPTextEncode", text=text, clip=clip or self.clip)

    def hook(self, **strengths: float) -> Any:
        return self.node(
            "CreateHookLora",
            lora_name="style.safetensors",
            **{"strength_model": 1.0, "strength_clip": 1.0, **strengths},
        )

    def with_hooks(self, conditions: Any, hooks: Any, **more: object) -> Any:
        given = {"strength": 1.0, "set_cond_area": "default", "hooks": hooks, **more}
        return self.node("ConditioningSetProperties", cond_NEW=conditions, **given)

    def lora(self, strength: float = 1.0) -> tuple[Any, Any]:
        return self.node(
            "LoraLoader", model=self.model, clip=self.clip, lora_name="style.safetensors",
            strength_model=strength, strength_clip=strength,
        )  # fmt: skip

    def sampled(self, positive: Any, negative: Any, model: Any = None, **changes: object) -> torch.Tensor:
        inputs = {
            "add_noise": "enable", "noise_seed": 1, "steps": 4, "cfg": 2.0, "sampler_name": "euler",
            "scheduler": "normal", "start_at_step": 0, "end_at_step": 10000, "return_with_leftover_noise": "disable",
            "latent_image": {"samples": torch.zeros(1, 4, 8, 8)}, **changes,
        }  # fmt: skip
        done = self.node("KSamplerAdvanced", model=model or self.model, positive=positive, negative=negative, **inputs)
        samples: torch.Tensor = done["samples"]
        return samples


@pytest.fixture
def hooked(node_run: Callable[..., Any], tiny_checkpoint: Path, normal_tensor: Any) -> Hooked:
    run = node_run()
    (run.base / "models/checkpoints/tiny.safetensors").symlink_to(tiny_checkpoint)
    tensors = load_file(tiny_checkpoint)
    shapes = {
        UNET_LAYER: tensors[f"model.{UNET_LAYER}.weight"].shape,
        TEXT_LAYER: (64, 64),
    }
    lora = {}
    for layer, (rows, columns) in shapes.items():
        lora[f"{layer}.lora_up.weight"] = normal_tensor(f"{layer}/up", (rows, 2)) * 0.5
        lora[f"{layer}.lora_down.weight"] = normal_tensor(f"{layer}/down", (2, columns)) * 0.5
    save_file(lora, run.base / "models/loras/style.safetensors")
    return Hooked(run)


def test_hooks_on_all_conditions_are_a_lora(hooked: Hooked) -> None:
    model, _ = hooked.lora(0.7)
    hooks = hooked.hook(strength_model=0.7)
    both = [hooked.with_hooks(side, hooks) for side in (hooked.positive, hooked.negative)]
    expected = hooked.sampled(hooked.positive, hooked.negative, model)
    assert not torch.allclose(expected, hooked.sampled(hooked.positive, hooked.negative), atol=1e-3)
    torch.testing.assert_close(hooked.sampled(*both), expected)


def test_hooks_hold_for_their_condition_alone(hooked: Hooked) -> None:
    model, _ = hooked.lora()
    positive = hooked.with_hooks(hooked.positive, hooked.hook())
    plain = hooked.sampled(hooked.positive, hooked.negative)
    patched = hooked.sampled(hooked.positive, hooked.negative, model)
    mixed = hooked.sampled(positive, hooked.negative)
    assert not torch.allclose(mixed, plain, atol=1e-3)
    assert not torch.allclose(mixed, patched, atol=1e-3)
    # At scale 1 the negative side plays no part.
    alone = hooked.sampled(hooked.positive, hooked.negative, model, cfg=1.0)
    torch.testing.assert_close(hooked.sampled(positive, hooked.negative, cfg=1.0), alone)


def test_the_models_own_weights_are_the_same_bits_afterwards(hooked: Hooked) -> None:
    network = hooked.model.ready().network
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    source = {name: tensor.clone() for name, tensor in hooked.model.weights.source.tensors.items()}
    keyframes = hooked.node(
        "CreateHookKeyframesInterpolated", strength_start=0.0, strength_end=1.0, interpolation="linear",
        start_percent=0.0, end_percent=1.0, keyframes_count=4, print_keyframes=True,
    )  # fmt: skip
    hooks = hooked.node("SetHookKeyframes", hooks=hooked.hook(), hook_kf=keyframes)
    hooked.sampled(hooked.with_hooks(hooked.positive, hooks), hooked.negative)
    after = hooked.model.ready().network
    assert after is network
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.state_dict().items())
    assert all(torch.equal(tensor, source[name]) for name, tensor in hooked.model.weights.source.tensors.items())


def test_strengths_change_over_the_run(hooked: Hooked) -> None:
    first = hooked.node("CreateHookKeyframe", strength_mult=1.0, start_percent=0.0)
    keyframes = hooked.node("CreateHookKeyframe", strength_mult=0.0, start_percent=0.6, prev_hook_kf=first)
    hooks = hooked.node("SetHookKeyframes", hooks=hooked.hook(), hook_kf=keyframes)
    both = [hooked.with_hooks(side, hooks) for side in (hooked.positive, hooked.negative)]
    # At 0.6 of the run the noise level lies between those of the second step and of the third.
    model, _ = hooked.lora()
    begun = hooked.sampled(hooked.positive, hooked.negative, model, end_at_step=2, return_with_leftover_noise="enable")
    ended = hooked.sampled(
        hooked.positive, hooked.negative, start_at_step=2, add_noise="disable", latent_image={"samples": begun}
    )
    torch.testing.assert_close(hooked.sampled(*both), ended, rtol=1e-4, atol=1e-3)


def test_conditions_with_the_same_hooks_share_a_pass(hooked: Hooked) -> None:
    rows: list[int] = []

    def count(x: torch.Tensor, _: object) -> torch.Tensor:
        rows.append(len(x))
        return x

    model = hooked.model.with_hook(Point.MIDDLE_BLOCK, count)
    hooks = hooked.hook()
    both = [hooked.with_hooks(side, hooks) for side in (hooked.positive, hooked.negative)]
    hooked.sampled(*both, model, steps=1)
    assert rows == [2]
    rows.clear()
    hooked.sampled(both[0], hooked.negative, model, steps=1)
    assert rows == [1, 1]


def test_default_conditions_act_where_others_do_not(hooked: Hooked) -> None:
    other = hooked.encoded("a blue square")
    plain = hooked.sampled(hooked.positive, hooked.negative)
    filled = hooked.node("ConditioningSetDefaultCombine", cond=hooked.positive, cond_DEFAULT=other)
    torch.testing.assert_close(hooked.sampled(filled, hooked.negative), plain)
    # Half of the picture is left to the default condition: as if it had the rest of the mask.
    mask = torch.zeros(1, 8, 8)
    mask[:, :, :4] = 1.0
    left = hooked.with_hooks(hooked.positive, None, mask=mask)
    right = hooked.with_hooks(other, None, mask=1.0 - mask)
    filled = hooked.node("ConditioningSetDefaultCombine", cond=left, cond_DEFAULT=other)
    expected = hooked.sampled([*left, *right], hooked.negative)
    torch.testing.assert_close(hooked.sampled(filled, hooked.negative), expected)
    # A condition that is over leaves everything.
    _, before, after = hooked.node("ConditioningTimestepsRange", start_percent=0.0, end_percent=1.0)
    gone = hooked.with_hooks(hooked.positive, None, timesteps=(before[0], before[1]))
    assert (before, after) == ((0.0, 0.0), (1.0, 1.0))
    pair = hooked.node(
        "PairConditioningSetDefaultCombine", positive=gone, negative=gone, positive_DEFAULT=other,
        negative_DEFAULT=hooked.negative,
    )  # fmt: skip
    torch.testing.assert_close(hooked.sampled(*pair), hooked.sampled(other, hooked.negative))


def test_text_models_follow_hooks(hooked: Hooked) -> None:
    _, clip = hooked.lora(0.5)
    hooks = hooked.hook(strength_clip=0.5)
    given = hooked.node("SetClipHooks", clip=hooked.clip, apply_to_conds=True, schedule_clip=False, hooks=hooks)
    (condition,) = hooked.encoded("a red circle", given)
    torch.testing.assert_close(condition.tokens, hooked.encoded("a red circle", clip)[0].tokens)
    assert not torch.equal(condition.tokens, hooked.positive[0].tokens)
    assert condition.hooks == hooks
    silent = hooked.node("SetClipHooks", clip=given, apply_to_conds=False, schedule_clip=False, hooks=hooks)
    (condition,) = hooked.encoded("a red circle", silent)
    assert condition.hooks == ()
    torch.testing.assert_close(condition.tokens, hooked.encoded("a red circle", clip)[0].tokens)


def test_scheduled_text_models_encode_each_part_of_the_run(hooked: Hooked) -> None:
    first = hooked.node("CreateHookKeyframe", strength_mult=0.5, start_percent=0.25)
    keyframes = hooked.node("CreateHookKeyframe", strength_mult=0.0, start_percent=0.5, prev_hook_kf=first)
    hooks = hooked.node("SetHookKeyframes", hooks=hooked.hook(), hook_kf=keyframes)
    clip = hooked.node("SetClipHooks", clip=hooked.clip, apply_to_conds=False, schedule_clip=True, hooks=hooks)
    conditions = hooked.encoded("a red circle", clip)
    assert [each.text_range for each in conditions] == [(0.0, 0.25), (0.25, 0.5), (0.5, 1.0)]
    for condition, strength in zip(conditions, (1.0, 0.5, 0.0), strict=True):
        torch.testing.assert_close(condition.tokens, hooked.encoded("a red circle", hooked.lora(strength)[1])[0].tokens)
    # A range that is set later keeps the parts that it overlaps.
    late = [each.with_changes(start_percent=0.5) for each in conditions]
    alone = [replace(conditions[2], text_range=None, start_percent=0.5)]
    expected = hooked.sampled(alone, hooked.negative)
    torch.testing.assert_close(hooked.sampled(late, hooked.negative), expected)


def test_a_whole_model_as_a_hook(hooked: Hooked) -> None:
    tensors = load_file(hooked.run.base / "models/checkpoints/tiny.safetensors")
    other = {name: tensor * 1.05 for name, tensor in tensors.items()}
    save_file(other, hooked.run.base / "models/checkpoints/other.safetensors")
    model, _, _ = hooked.node("CheckpointLoaderSimple", ckpt_name="other.safetensors")
    hooks = hooked.node("CreateHookModelAsLoraModelOnly", ckpt_name="other.safetensors", strength_model=1.0)
    both = [hooked.with_hooks(side, hooks) for side in (hooked.positive, hooked.negative)]
    expected = hooked.sampled(hooked.positive, hooked.negative, model)
    torch.testing.assert_close(hooked.sampled(*both), expected, rtol=1e-4, atol=1e-3)


def test_groups_of_hooks(hooked: Hooked) -> None:
    a, b = hooked.hook(), hooked.hook(strength_model=0.5)
    assert hooked.node("CombineHooks2", hooks_A=a, hooks_B=b) == (*a, *b)
    assert hooked.node("CombineHooks4", hooks_A=a, hooks_D=a) == a
    assert hooked.node("CombineHooks8") == ()
    silent = hooked.node(
        "CreateHookLora", lora_name="style.safetensors", strength_model=0.0, strength_clip=0.0, prev_hooks=a
    )
    assert silent == a
    joined = hooked.node(
        "PairConditioningSetPropertiesAndCombine", positive=hooked.positive, negative=hooked.negative,
        positive_NEW=hooked.positive, negative_NEW=hooked.negative, strength=1.0, set_cond_area="default", hooks=a,
    )  # fmt: skip
    assert [[each.hooks for each in side] for side in joined] == [[(), a], [(), a]]
    assert hooked.positive[0].hooks == ()


def test_strengths_that_are_no_numbers(hooked: Hooked) -> None:
    with pytest.raises(BadInput, match="one number or a list of numbers"):
        hooked.node(
            "CreateHookKeyframesFromFloats", floats_strength=["much"], start_percent=0.0, end_percent=1.0,
            print_keyframes=False,
        )  # fmt: skip
