"""Attention in parts gives what the fused kernel gives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.attention_kernel import attention_in_parts, scaled_attention

# Batch, heads, tokens, context, width: one part; parts of rows; more heads than go together; one wide head.
SHAPES = ((2, 8, 64, 77, 40), (1, 2, 1100, 1500, 16), (3, 5, 700, 640, 8), (1, 1, 300, 300, 512), (1, 3, 1, 5, 4))


def projected(shape: tuple[int, int, int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values as a network has them: heads side by side in each token."""
    batch, heads, tokens, context, width = shape
    draw = torch.Generator().manual_seed(sum(shape))
    sizes = (tokens, context, context)
    rows = [torch.randn(batch, size, heads * width, generator=draw).bfloat16() for size in sizes]
    q, k, v = (row.unflatten(2, (heads, width)).transpose(1, 2) for row in rows)
    return q, k, v


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_parts_agree_with_the_formula(shape: tuple[int, int, int, int, int]) -> None:
    q, k, v = projected(shape)
    wide = [tokens.double() for tokens in (q, k, v)]
    expected = torch.softmax(wide[0] @ wide[1].transpose(-1, -2) / shape[4] ** 0.5, dim=-1) @ wide[2]
    with torch.inference_mode():
        got = attention_in_parts(q, k, v)
    assert got.dtype is torch.bfloat16
    assert got.shape == expected.shape
    assert (got - expected).norm() / expected.norm() < 0.01


def test_float32_is_left_to_torch() -> None:
    q, k, v = (tokens.float() for tokens in projected(SHAPES[0]))
    assert torch.equal(scaled_attention(q, k, v), torch.nn.functional.scaled_dot_product_attention(q, k, v))


def test_gradients_pass() -> None:
    q, k, v = projected(SHAPES[0])
    q.requires_grad_(True)
    scaled_attention(q, k, v).float().sum().backward()
    assert q.grad is not None
    assert torch.isfinite(q.grad).all()


def test_inputs_stay_as_they_are() -> None:
    q, k, v = projected(SHAPES[1])
    before = [tokens.clone() for tokens in (q, k, v)]
    with torch.inference_mode():
        scaled_attention(q, k, v)
    assert all(torch.equal(tokens, kept) for tokens, kept in zip((q, k, v), before, strict=True))
