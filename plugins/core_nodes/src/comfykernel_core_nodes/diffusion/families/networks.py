"""The networks of SD1.x built from plain configurations, for plugins that train models of this family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.autoencoder import AutoencoderConfig, AutoencoderKL
from comfykernel_core_nodes.diffusion.clip_text import ClipTextConfig, ClipTextModel
from comfykernel_core_nodes.diffusion.clip_tokenizer import END_TOKEN, START_TOKEN, tokenize
from comfykernel_core_nodes.diffusion.unet import UNet, UNetConfig

CONTEXT_TOKENS = 77


class StableDiffusion1Networks:
    """UNet with 8 heads, 4-channel autoencoder and CLIP text model, as SD1.x checkpoints hold them."""

    unet_prefix: Final = "model.diffusion_model."
    autoencoder_prefix: Final = "first_stage_model."
    text_encoder_prefix: Final = "cond_stage_model.transformer.text_model."
    latent_scale: Final = 0.18215

    def unet(self, config: Mapping[str, Any]) -> UNet:
        """The UNet; names and defaults are those of `UNetConfig`."""
        return UNet(UNetConfig(**_tuples(config)))

    def autoencoder(self, config: Mapping[str, Any]) -> AutoencoderKL:
        """The autoencoder; names and defaults are those of `AutoencoderConfig`."""
        return AutoencoderKL(AutoencoderConfig(**_tuples(config)))

    def text_encoder(self, config: Mapping[str, Any]) -> ClipTextModel:
        """The text model; names and defaults are those of `ClipTextConfig`."""
        return ClipTextModel(ClipTextConfig(**_tuples(config)))

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Ids [batch, 77]: start token, text, end token, which also pads."""
        rows = [[START_TOKEN, *tokenize(text)[: CONTEXT_TOKENS - 2]] for text in texts]
        return torch.tensor([row + [END_TOKEN] * (CONTEXT_TOKENS - len(row)) for row in rows], dtype=torch.long)


def _tuples(config: Mapping[str, Any]) -> dict[str, Any]:
    """Lists become tuples, so that configurations stay hashable."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
