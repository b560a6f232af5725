"""Attention blocks of the latent-diffusion UNet, named as in the original checkpoints."""

from __future__ import annotations

import torch.nn.functional as functional
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.attention_kernel import scaled_attention
from comfykernel_core_nodes.diffusion.hook_points import NO_HOOKS, Hooks, Point, Site
from comfykernel_core_nodes.diffusion.kept_texts import KeptProjections

_INPUTS = {False: Point.SELF_INPUTS, True: Point.CROSS_INPUTS}
_REPLACED = {False: Point.SELF_ATTENTION, True: Point.CROSS_ATTENTION}
_OUTPUT = {False: Point.SELF_OUTPUT, True: Point.CROSS_OUTPUT}
_AROUND = {False: Point.SELF_AROUND, True: Point.CROSS_AROUND}


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Multi-head attention of projected tokens [batch, tokens, width] (Vaswani et al. 2017, section 3.2)."""
    q, k, v = (tokens.unflatten(2, (heads, -1)).transpose(1, 2) for tokens in (q, k, v))
    return scaled_attention(q, k, v).transpose(1, 2).flatten(2)


class CrossAttention(nn.Module):
    """Multi-head attention of tokens to a context, or to themselves.

    Tokens are [batch, tokens, width], the context is [batch, length, context_width].
    """

    def __init__(self, width: int, context_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context_width, width, bias=False)
        self.to_v = nn.Linear(context_width, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width))
        self._texts = KeptProjections()

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        keys, values = self._projected(context) if context is tokens else self._texts.of(context, self._projected)
        out: Tensor = self.to_out(attend(self.to_q(tokens), keys, values, self.heads))
        return out

    def _projected(self, context: Tensor) -> tuple[Tensor, Tensor]:
        return self.to_k(context), self.to_v(context)

    def hooked(self, tokens: Tensor, context: Tensor, hooks: Hooks, site: Site, *, cross: bool) -> Tensor:
        """The same, with the functions of its points."""

        def run(tokens: Tensor, context: Tensor, values: Tensor) -> Tensor:
            for change in hooks.at(_INPUTS[cross]):
                tokens, context, values = change(tokens, context, values, site)
            q = self.to_q(tokens)
            if cross and values is context:
                k, v = self._texts.of(context, self._projected)
            else:
                k, v = self.to_k(context), self.to_v(values)
            replacements = hooks.at(_REPLACED[cross])
            mixed = replacements[-1](q, k, v, site) if replacements else attend(q, k, v, self.heads)
            return hooks.changed(_OUTPUT[cross], self.to_out(mixed), site)

        mixed: Tensor = hooks.wrapped(_AROUND[cross], run, site)(tokens, context, context)
        return mixed


class GEGLU(nn.Module):
    """Linear layer gated by the GELU of its second half (Shazeer 2020, equation 6)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, hidden * 2)

    def forward(self, tokens: Tensor) -> Tensor:
        value, gate = self.proj(tokens).chunk(2, dim=-1)
        # On a CPU the GELU of half a row takes twice the time of one over whole memory.
        out: Tensor = value * functional.gelu(gate.contiguous() if gate.is_cpu else gate)
        return out


class FeedForward(nn.Module):
    """GEGLU with four times the width, then back. The parameterless middle keeps the checkpoint's numbering."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GEGLU(width, width * 4), nn.Identity(), nn.Linear(width * 4, width))

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.net(tokens)
        return out


class TransformerBlock(nn.Module):
    """Self-attention, attention to the context and feed-forward, each normalised first and added."""

    def __init__(self, width: int, context_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attn1 = CrossAttention(width, width, heads)
        self.ff = FeedForward(width)
        self.attn2 = CrossAttention(width, context_width, heads)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, context: Tensor, hooks: Hooks = NO_HOOKS, site: Site | None = None) -> Tensor:
        normed = self.norm1(tokens)
        if site is None or not hooks.functions:
            tokens = tokens + self.attn1(normed, normed)
            tokens = tokens + self.attn2(self.norm2(tokens), context)
        else:
            tokens = tokens + self.attn1.hooked(normed, normed, hooks, site, cross=False)
            tokens = hooks.changed(Point.BETWEEN_ATTENTIONS, tokens, site)
            tokens = tokens + self.attn2.hooked(self.norm2(tokens), context, hooks, site, cross=True)
        out: Tensor = tokens + self.ff(self.norm3(tokens))
        return out


class SpatialTransformer(nn.Module):
    """Transformer blocks over the pixels of a feature map [batch, channels, height, width], with a residual.

    `linear` selects a linear projection (SD2, SDXL) where SD1 has a 1x1 convolution.
    """

    def __init__(self, channels: int, context_width: int, heads: int, depth: int, *, linear: bool) -> None:
        super().__init__()
        self.linear = linear
        self.heads = heads
        self.norm = nn.GroupNorm(32, channels, eps=1e-6)
        self.proj_in: nn.Module = nn.Linear(channels, channels) if linear else nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList(TransformerBlock(channels, context_width, heads) for _ in range(depth))
        self.proj_out: nn.Module = nn.Linear(channels, channels) if linear else nn.Conv2d(channels, channels, 1)

    def forward(
        self, x: Tensor, context: Tensor, hooks: Hooks = NO_HOOKS, block: str = "middle", number: int = 0
    ) -> Tensor:
        """`block` and `number` tell functions at the hook points where they are."""
        height, width = x.shape[2:]
        tokens = self._tokens(self.norm(x))
        for index, transformer in enumerate(self.transformer_blocks):
            site = Site(block, number, index, self.heads, hooks.call) if hooks.functions else None
            tokens = transformer(tokens, context, hooks, site)
        out: Tensor = x + self._pixels(tokens, height, width)
        return out

    def _tokens(self, x: Tensor) -> Tensor:
        if self.linear:
            projected: Tensor = self.proj_in(x.flatten(2).transpose(1, 2))
            return projected
        pixels: Tensor = self.proj_in(x)
        return pixels.flatten(2).transpose(1, 2)

    def _pixels(self, tokens: Tensor, height: int, width: int) -> Tensor:
        if self.linear:
            tokens = self.proj_out(tokens)
        x = tokens.transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], height, width)
        if self.linear:
            return x
        out: Tensor = self.proj_out(x)
        return out


def attend_pixels(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Single-head attention among the pixels of three maps [batch, channels, height, width]."""
    shape = q.shape
    q, k, v = (pixels.flatten(2).transpose(1, 2).unsqueeze(1) for pixels in (q, k, v))
    mixed = scaled_attention(q, k, v)
    return mixed.squeeze(1).transpose(1, 2).reshape(shape)
