"""Scaled dot-product attention, by what computes it fastest on the device at hand."""

from __future__ import annotations

from functools import cache
from typing import Final

import torch
import torch.nn.functional as functional
from torch import Tensor

# Scores of one part, in values a thread: 2 MiB in bfloat16, which stay in the cache between the three steps. Measured
# on AVX512_BF16 with 64 to 16,384 tokens; a quarter of it costs a fifth more, twice as much gains nothing.
PART_SCORES: Final = 2**20
# With fewer rows than this in a part, the fused kernel is as fast.
LEAST_ROWS: Final = 128


def scaled_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """Attention softmax(q k' / sqrt(width)) v of [batch, heads, tokens, width] (Vaswani et al. 2017, equation 1).

    k and v may have another number of tokens; bias is added before the softmax, [batch, 1, tokens, tokens].
    """
    if bias is None and _in_parts(q, k, v):
        return attention_in_parts(q, k, v)
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def attention_in_parts(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same by products of bfloat16 matrices, as many rows at a time as the cache holds scores of.

    torch's fused kernel for CPUs computes its products in float32 where there is no AMX. Scores are rounded to the
    precision of q, which moves results by 0.4 % where the fused kernel's move by 0.2 %.
    """
    shape, context = q.shape[:3] + v.shape[3:], k.shape[2]
    q, k, v = (tokens.flatten(0, 1) for tokens in (q, k, v))
    heads, length = q.shape[:2]
    k = k.transpose(1, 2)
    threads = torch.get_num_threads()
    rows = max(1, min(length, PART_SCORES // context))
    together = max(min(threads, heads), min(heads, PART_SCORES * threads // (rows * context)))
    out = q.new_empty(heads, length, v.shape[2])
    memory = q.new_empty(together, rows, context)
    for head in range(0, heads, together):
        these = slice(head, head + together)
        for row in range(0, length, rows):
            part = q[these, row : row + rows]
            scores = memory.flatten()[: part.shape[0] * part.shape[1] * context].view(*part.shape[:2], context)
            torch.baddbmm(scores, part, k[these], beta=0, alpha=q.shape[2] ** -0.5, out=scores)
            torch.softmax(scores, -1, out=scores)
            if rows == length:
                torch.bmm(scores, v[these], out=out[these])
            else:
                out[these, row : row + rows] = torch.bmm(scores, v[these])
    return out.view(shape)


def _in_parts(q: Tensor, k: Tensor, v: Tensor) -> bool:
    if torch.compiler.is_compiling() or (torch.is_grad_enabled() and (q.requires_grad or k.requires_grad)):
        return False
    if q.device.type != "cpu" or q.dtype != torch.bfloat16 or not _multiplies_bf16_without_tiles():
        return False
    return 0 < k.shape[2] <= PART_SCORES // LEAST_ROWS and q.numel() > 0 and q.shape[:2] == k.shape[:2] == v.shape[:2]


@cache
def _multiplies_bf16_without_tiles() -> bool:
    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") and not known.get("amx_bf16")) and torch.backends.mkldnn.is_available()
