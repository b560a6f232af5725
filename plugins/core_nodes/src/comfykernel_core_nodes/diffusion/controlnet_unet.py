"""ControlNet for UNets (Zhang et al. 2023, arXiv:2302.05543), in the layout of its first files.

Also the union networks with several kinds of hints in one model (xinsir 2024), told by a number for each kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.errors import LatentShapeError
from comfykernel_core_nodes.diffusion.residual_attention import ResidualAttention
from comfykernel_core_nodes.diffusion.unet import Stage, UNetEncoder, timestep_embedding
from comfykernel_core_nodes.diffusion.unet_config import UNetConfig, unet_config_from

# Channels of the convolutions that a hint passes; those where they change halve its sides.
HINT_CHANNELS = (16, 16, 32, 32, 96, 96, 256)
# Channels of the embedding of each kind of hint in a union network.
KIND_CHANNELS = 256


@dataclass(frozen=True, slots=True)
class ControlUNetConfig:
    """Shape of a control network: its UNet half, the channels of its hint, the kinds of hints of a union network."""

    unet: UNetConfig
    hint_channels: int = 3
    kinds: int = 0


class KindEmbedding(nn.Module):
    """Which kinds of hints are there, as a vector beside the time embedding."""

    def __init__(self, kinds: int, width: int) -> None:
        super().__init__()
        self.kinds = kinds
        self.linear_1 = nn.Linear(kinds * KIND_CHANNELS, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, chosen: Sequence[int], like: Tensor) -> Tensor:
        present = torch.zeros(self.kinds, device=like.device)
        present[list(chosen)] = 1.0
        embedded = timestep_embedding(present, KIND_CHANNELS).flatten()[None].to(like.dtype)
        out: Tensor = self.linear_2(functional.silu(self.linear_1(embedded)))
        return out


class ControlUNet(UNetEncoder):
    """Residuals for a UNet of the same shape, from a hint."""

    def __init__(self, config: ControlUNetConfig) -> None:
        super().__init__(config.unet)
        self.kinds = config.kinds
        width = config.unet.model_channels
        self.input_hint_block = Stage(*_hint_layers(config.hint_channels, width))
        self.zero_convs = nn.ModuleList(Stage(nn.Conv2d(channels, channels, 1)) for channels in self.skip_channels)
        deepest = width * config.unet.channel_mult[-1]
        if config.unet.transformer_depth_middle >= -1:
            self.middle_block_out = Stage(nn.Conv2d(deepest, deepest, 1))
        if config.kinds:
            self.task_embedding = nn.Parameter(torch.empty(config.kinds, width))
            self.transformer_layes = nn.Sequential(ResidualAttention(width))
            self.spatial_ch_projs = nn.Linear(width, width)
            self.control_add_embedding = KindEmbedding(config.kinds, self.time_width)

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor,
        hint: Tensor,
        y: Tensor | None = None,
        kinds: Sequence[int] = (),
    ) -> dict[str, list[Tensor | None]]:
        """Residuals for the skips of a UNet under `output` and for its `middle`.

        hint: [1 or batch, hint_channels, height * 8, width * 8]; kinds: what the hint is, for a union network. The
        rest as for the UNet. Raises `LatentShapeError` for a kind that the network does not have.
        """
        time = self.time_vector(timesteps, y, x.dtype)
        context = self.recent_texts.same(context)
        if self.kinds:
            if any(not 0 <= kind < self.kinds for kind in kinds):
                raise LatentShapeError(
                    f"This control network has {self.kinds} kinds of hints, asked was {list(kinds)}."
                )
            time = time + self.control_add_embedding(kinds, time)
        guide = self.input_hint_block(hint, time, context)
        if kinds and self.kinds:
            guide = guide + self._kind_shift(guide, kinds)
        outputs: list[Tensor | None] = []
        for number, (stage, way_out) in enumerate(zip(self.input_blocks, self.zero_convs, strict=True)):
            x = stage(x, time, context)
            if number == 0:
                x = x + guide
            outputs.append(way_out(x, time, context))
        middle: list[Tensor | None] = []
        if self.config.transformer_depth_middle >= -1:
            middle = [self.middle_block_out(self.middle_block(x, time, context), time, context)]
        return {"output": outputs, "middle": middle}

    def _kind_shift(self, guide: Tensor, kinds: Sequence[int]) -> Tensor:
        """What the kind of a hint adds to each of its channels, [batch, channels, 1, 1]."""
        token = guide.mean(dim=(2, 3)) + self.task_embedding[kinds[0]]
        mixed = self.transformer_layes(token[:, None])[:, 0]
        shift: Tensor = self.spatial_ch_projs(mixed)[:, :, None, None]
        return shift


def _hint_layers(channels: int, out: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width in HINT_CHANNELS:
        stride = 1 if not layers or width == channels else 2
        layers += [nn.Conv2d(channels, width, 3, padding=1, stride=stride), nn.SiLU()]
        channels = width
    return [*layers, nn.Conv2d(channels, out, 3, padding=1)]


def control_unet_config_from(shapes: Mapping[str, tuple[int, ...]]) -> ControlUNetConfig:
    """Configuration of the control network whose tensors have these shapes; keys are without `control_model.`.

    Raises KeyError when a tensor that every such network has is missing.
    """
    kinds = shapes.get("task_embedding", (0,))[0]
    return ControlUNetConfig(unet_config_from(shapes), shapes["input_hint_block.0.weight"][1], kinds)
