"""Attention, as packs call it; the networks of comfykernel have their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from torch import Tensor
from torch.nn import functional

from comfykernel_compat_comfyui.lacking_names import lacking_class
from comfykernel_compat_comfyui.shims.comfy.ldm.util import default as default
from comfykernel_compat_comfyui.shims.comfy.ldm.util import exists as exists

Attention: TypeAlias = Callable[..., Tensor]


def attention_pytorch(
    q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, attn_precision: Any = None,
    skip_reshape: bool = False, skip_output_reshape: bool = False, **kwargs: Any,
) -> Tensor:  # fmt: skip
    """softmax(q k' / sqrt(width of a head)) v (Vaswani et al. 2017, eq. 1).

    q, k, v: [batch, tokens, heads * width], with ``skip_reshape`` [batch, heads, tokens, width]; mask: added to the
    scores, or boolean, with or without dimensions for batch and heads. Gives [batch, tokens, heads * width], with
    ``skip_output_reshape`` [batch, heads, tokens, width].
    """
    if not skip_reshape:
        q, k, v = (t.reshape(t.shape[0], t.shape[1], heads, -1).transpose(1, 2) for t in (q, k, v))
    if mask is not None:
        mask = mask[None] if mask.ndim == 2 else mask
        mask = mask[:, None] if mask.ndim == 3 else mask
    out = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=0.0, is_causal=False)
    return out if skip_output_reshape else out.transpose(1, 2).reshape(out.shape[0], out.shape[2], -1)


attention_basic = attention_pytorch
attention_split = attention_pytorch
attention_sub_quad = attention_pytorch
attention_xformers = attention_pytorch
attention_sage = attention_pytorch
attention_flash = attention_pytorch
optimized_attention = attention_pytorch
optimized_attention_masked = attention_pytorch


def optimized_attention_for_device(device: Any, mask: bool = False, small_input: bool = False) -> Attention:
    """The attention to be used on a device: always torch's own."""
    return attention_pytorch


def wrap_attn(func: Attention) -> Attention:
    """A function as it is: attention is not replaced from outside here."""
    return func


BasicTransformerBlock = lacking_class("comfy.ldm.modules.attention.BasicTransformerBlock")
CrossAttention = lacking_class("comfy.ldm.modules.attention.CrossAttention")
FeedForward = lacking_class("comfy.ldm.modules.attention.FeedForward")
SpatialTransformer = lacking_class("comfy.ldm.modules.attention.SpatialTransformer")
SpatialVideoTransformer = lacking_class("comfy.ldm.modules.attention.SpatialVideoTransformer")
