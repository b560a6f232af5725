"""Keys and values of a text are made once for as long as the text stays the same."""

from __future__ import annotations

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.attention import CrossAttention
from comfykernel_core_nodes.diffusion.kept_texts import KEPT, MAX_TOKENS, KeptProjections, RecentTexts


def text(seed: int, rows: int = 2) -> Tensor:
    return torch.randn(rows, 7, 16, generator=torch.Generator().manual_seed(seed))


class Counted:
    """A projection that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, context: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1
        return context * 2, context * 3


@torch.inference_mode()
def test_equal_texts_become_one() -> None:
    recent = RecentTexts()
    first, other = recent.same(text(1)), recent.same(text(2))
    assert first is not other
    assert recent.same(text(1)) is first
    assert recent.same(text(2)) is other
    assert recent.same(text(1).double()) is not first


@torch.inference_mode()
def test_a_known_text_is_not_projected_again() -> None:
    kept, project = KeptProjections(), Counted()
    texts = [text(seed) for seed in range(KEPT)]
    for _ in range(3):
        for each in texts:
            assert torch.equal(kept.of(each, project)[1], each * 3)
    assert project.calls == KEPT
    kept.of(text(9), project)
    kept.of(texts[0], project)
    assert project.calls == KEPT + 2


@torch.inference_mode()
def test_large_batches_are_not_kept() -> None:
    kept, project = KeptProjections(), Counted()
    large = text(1, rows=MAX_TOKENS // 7 + 1)
    kept.of(large, project)
    kept.of(large, project)
    assert project.calls == 2


def test_nothing_is_kept_where_gradients_may_pass() -> None:
    kept, project = KeptProjections(), Counted()
    once = text(1)
    kept.of(once, project)
    kept.of(once, project)
    assert project.calls == 2


@torch.inference_mode()
def test_a_layer_follows_its_text() -> None:
    layer = CrossAttention(8, 16, 2)
    tokens = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    recent = RecentTexts()
    fresh = CrossAttention(8, 16, 2)
    fresh.load_state_dict(layer.state_dict())
    for seed in (1, 1, 2, 1):
        assert torch.equal(layer(tokens, recent.same(text(seed))), fresh(tokens, text(seed)))
