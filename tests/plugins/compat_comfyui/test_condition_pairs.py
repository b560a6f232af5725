"""Conditions on their way through a pack: what a pack hands on as it got it is as it was."""

from __future__ import annotations

import torch

from comfykernel_compat_comfyui.diffusion_bridge.conditions import from_pair, to_pair
from comfykernel_core_nodes.diffusion.condition_hooks import WeightHook
from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.hook_sources import LoraSource


def test_a_condition_comes_back_whole() -> None:
    condition = Conditioning(
        torch.zeros(1, 2, 3), torch.ones(1, 4), strength=0.5, mask=torch.ones(1, 8, 8), mask_strength=0.7,
        start_percent=0.1, end_percent=0.9, text_range=(0.0, 0.5), default=True,
        hooks=(WeightHook(LoraSource({}), 1.0, 1.0),), extra={"guidance": 3.5},
    )  # fmt: skip
    back = from_pair(to_pair(condition))
    for name in Conditioning.__dataclass_fields__:
        assert getattr(back, name) is getattr(condition, name) or getattr(back, name) == getattr(condition, name)


def test_a_plain_condition_has_no_needless_entries() -> None:
    assert to_pair(Conditioning(torch.zeros(1, 2, 3)))[1] == {}
