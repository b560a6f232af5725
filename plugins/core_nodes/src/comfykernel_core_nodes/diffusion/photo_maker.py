"""PhotoMaker (Li et al. 2023, arXiv:2312.04461): the identity of a person in a picture, put into a word of a text.

An image encoder with two projections, as wide as the two text models of SDXL, and layers that mix what it saw with the
token of a word such as `man`. Names equal the keys of the first published file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.clip_vision import ClipVisionConfig, ClipVisionModel, clip_vision_config_from
from comfykernel_core_nodes.diffusion.errors import CheckpointError, LatentShapeError
from comfykernel_core_nodes.diffusion.file_kinds import described
from comfykernel_core_nodes.diffusion.memory import ModelMemory, Part, default_memory
from comfykernel_core_nodes.diffusion.model_header import Header
from comfykernel_core_nodes.diffusion.text_encoding import TextEncoder, Tokens
from comfykernel_core_nodes.diffusion.vision_encoding import VisionEncoder
from comfykernel_core_nodes.diffusion.weight_files import open_weights
from comfykernel_core_nodes.diffusion.weights import planned_weights
from comfykernel_sdk.families import NetworkPlan, TextEncoding

PREFIX: Final = "id_encoder."
MARK: Final = "fuse_module.mlp1.fc1.weight"
# The second version looks at faces, by a network of its own.
SECOND_MARK: Final = "qformer_perceiver.token_proj.0.weight"
# The word that marks the one before it.
TRIGGER: Final = "photomaker"


class MixingLayers(nn.Module):
    """A norm and two linear layers around a GELU; with a residual where the width stays."""

    def __init__(self, width: int, hidden: int, *, residual: bool) -> None:
        super().__init__()
        self.layernorm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(functional.gelu(self.fc1(self.layernorm(x))))
        return x + out if self.residual else out


class Mixer(nn.Module):
    """The token of a word and an identity to one token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp1 = MixingLayers(width * 2, width, residual=False)
        self.mlp2 = MixingLayers(width, width, residual=True)
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, word: Tensor, identity: Tensor) -> Tensor:
        mixed = self.mlp1(torch.cat([word, identity], dim=-1)) + word
        out: Tensor = self.layer_norm(self.mlp2(mixed))
        return out


class IdentityEncoder(ClipVisionModel):
    """Pixels and the token of a word to the token that stands for the person."""

    def __init__(self, config: ClipVisionConfig, second: int, width: int) -> None:
        super().__init__(config)
        self.visual_projection_2 = nn.Linear(config.width, second, bias=False)
        self.fuse_module = Mixer(width)

    def mixed(self, pixels: Tensor, word: Tensor) -> Tensor:
        """The token [1, width] for a person in pixels [1, 3, side, side], in place of a word's [1, width]."""
        seen = self.vision_model.post_layernorm(self(pixels).last_hidden_state[:, 0])
        identity = torch.cat([self.visual_projection(seen), self.visual_projection_2(seen)], dim=-1)
        out: Tensor = self.fuse_module(word, identity)
        return out


@dataclass(frozen=True, eq=False)
class PhotoMaker(VisionEncoder):
    """An immutable handle; `width` is that of the tokens that it changes."""

    width: int = 2048

    def encode_prompt(
        self, clip: TextEncoder, text: str, images: Tensor, memory: ModelMemory | None = None
    ) -> TextEncoding:
        """A prompt whose word before `photomaker` stands for the person in the first of the images.

        Without that word the prompt is encoded as it is. Raises `LatentShapeError` for text models of another width.
        """
        words = text.split()
        if TRIGGER not in words[1:]:
            return clip.encode(clip.tokenize(text), memory=memory)
        number = words.index(TRIGGER, 1)
        tokens = clip.tokenize(" ".join(words[:number] + words[number + 1 :]))
        encoding = clip.encode(tokens, memory=memory)
        hidden, place = encoding.hidden, _end_of(clip.tokenize(" ".join(words[:number])), tokens)
        if hidden.shape[-1] != self.width:
            raise LatentShapeError(
                f"{self.weights.label} is for texts of width {self.width}, those of the text model are "
                f"{hidden.shape[-1]} wide.",
                "Use the CLIP of an SDXL checkpoint.",
            )
        changed = hidden.clone()
        changed[:, place] = self._mixed(images[:1], hidden[:, place], memory)
        return TextEncoding(changed, encoding.pooled)

    def _mixed(self, image: Tensor, word: Tensor, memory: ModelMemory | None) -> Tensor:
        network = (memory or default_memory()).module(self.weights, Part.VISION)
        assert isinstance(network, IdentityEncoder)
        weight = next(network.parameters())
        with torch.inference_mode():
            pixels = self.pixels(image).to(weight.device, weight.dtype)
            return network.mixed(pixels, word.to(weight.device, weight.dtype)).float().cpu().clone()


def _end_of(beginning: Tokens, tokens: Tokens) -> int:
    """Where, among the tokens of all chunks of a text, its beginning ends."""
    first, whole = ([token for chunk in next(iter(each.values())) for token in chunk] for each in (beginning, tokens))
    count = sum(token.word > 0 for token in first)
    return [place for place, token in enumerate(whole) if token.word > 0][count - 1]


def load_photo_maker(path: Path) -> PhotoMaker:
    """Open a PhotoMaker of the first version; weights are read when first used. Raises `CheckpointError`."""
    whole = Header(open_weights(path))
    header = whole.below(PREFIX) if PREFIX + MARK in whole else whole
    if MARK not in header or SECOND_MARK in header or "visual_projection_2.weight" not in header:
        kind = "PhotoMaker of the second version" if SECOND_MARK in header else described(whole)
        hint = "Expected is PhotoMaker of the first version."
        raise CheckpointError(
            path, f"holds no PhotoMaker of a known kind; it is {kind}.", hint, type="unknown_model_family"
        )
    names = {name: full for name, full in header.names.items() if not name.endswith("position_ids")}
    config = clip_vision_config_from(header.shapes)
    width = header.shapes[MARK][0]
    build = partial(IdentityEncoder, config, header.shapes["visual_projection_2.weight"][0], width)
    return PhotoMaker(planned_weights(NetworkPlan(header, build, names)), config, width)
