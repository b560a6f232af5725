"""The block of CLIP's transformers (Radford et al. 2021, arXiv:2103.00020) as control and style models build on it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

HEADS = 8


class ResidualAttention(nn.Module):
    """Attention and feed-forward over tokens [batch, tokens, width], each normalised first and added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, width * 4))
        self.mlp.add_module("c_proj", nn.Linear(width * 4, width))
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        normed = self.ln_1(tokens)
        tokens = tokens + self.attn(normed, normed, normed, need_weights=False)[0]
        hidden = self.mlp[0](self.ln_2(tokens))
        out: Tensor = tokens + self.mlp[1](hidden * torch.sigmoid(1.702 * hidden))
        return out
