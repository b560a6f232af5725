"""Control networks for transformers: SD3 and SD3.5, Flux.1.

They are the first blocks of the main network with a way out after each, which serves several blocks of the main
network (InstantX 2024, XLabs 2024, Stability AI 2024).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.flux import (
    PATCH,
    FluxBase,
    FluxConfig,
    flux_config_from,
    patch_tokens,
)
from comfykernel_core_nodes.diffusion.mmdit import (
    TIME_CHANNELS,
    MMDiTBase,
    MMDiTConfig,
    PatchEmbedder,
    StreamBlock,
    VectorEmbedder,
    mmdit_config_from,
)
from comfykernel_core_nodes.diffusion.transformer_parts import attend_heads, padded_to_multiple
from comfykernel_core_nodes.diffusion.unet import timestep_embedding

# Blocks of the published main networks.
FLUX_DOUBLE_BLOCKS = 19
FLUX_SINGLE_BLOCKS = 38
# The middle of computed positions.
POSITION_CENTRE = 7.5
# The convolutions that a hint of pixels passes: their channels, and the kernel and stride of each.
HINT_CHANNELS = 16
XLABS_LAYERS = ((3, 1), (3, 1), (3, 2), (3, 1), (3, 2), (3, 1), (3, 2), (3, 1))
MISTOLINE_LAYERS = ((3, 1), (1, 1), (3, 1), (3, 2), (3, 1), (3, 2), (3, 1), (3, 2), (1, 1), (3, 1))


class ControlMMDiT(MMDiTBase):
    """Residuals for the image stream of SD3, from the latent of a hint."""

    def __init__(self, config: MMDiTConfig, hint_channels: int) -> None:
        super().__init__(config)
        self.pos_embed_input = PatchEmbedder(hint_channels, config.width)
        self.controlnet_blocks = nn.ModuleList(nn.Linear(config.width, config.width) for _ in range(config.blocks))

    def forward(
        self, x: Tensor, timesteps: Tensor, context: Tensor, y: Tensor, hint: Tensor, blocks: int
    ) -> dict[str, list[Tensor | None]]:
        """Residuals for the main network's blocks but the last, under `output`; blocks: how many it has."""
        tokens = self.image_tokens(x) + self.pos_embed_input(hint)
        # These networks were trained without the pooled text vector.
        vector, text = self.vector(timesteps, torch.zeros_like(y), x.dtype), self.context_embedder(context)
        outputs: list[Tensor | None] = []
        each = blocks // self.config.blocks
        for number, (block, way_out) in enumerate(zip(self.joint_blocks, self.controlnet_blocks, strict=True)):
            tokens, text = block(tokens, text, vector)
            outputs += [way_out(tokens)] * (each - (number == self.config.blocks - 1))
        return {"output": outputs}


@dataclass(frozen=True, slots=True)
class ControlStreamConfig:
    """Shape of Stability's control networks for SD3.5 large: blocks of the image stream alone.

    With `twice_embedded` the pooled text vector passes the main network's layers first; without, it is the latent that
    does, and positions are computed.
    """

    width: int = 2432
    hidden: int = 9728
    blocks: int = 19
    hint_channels: int = 16
    latent_channels: int = 16
    vector_width: int = 2048

    @property
    def twice_embedded(self) -> bool:
        """Whether the layers for the pooled vector begin where the main network's end."""
        return self.vector_width == self.width


class ControlStream(nn.Module):
    """Residuals for SD3.5 large from the latent of a hint, without a text of its own.

    Some first layers are the main network's, which is given with each call.
    """

    def __init__(self, config: ControlStreamConfig) -> None:
        super().__init__()
        self.config = config
        shape = MMDiTConfig(width=config.width, hidden=config.hidden)
        self.t_embedder = VectorEmbedder(TIME_CHANNELS, config.width)
        self.y_embedder = VectorEmbedder(config.vector_width, config.width)
        if config.twice_embedded:
            self.x_embedder = PatchEmbedder(config.latent_channels, config.width)
        self.pos_embed_input = PatchEmbedder(config.hint_channels, config.width)
        self.transformer_blocks = nn.ModuleList(StreamBlock(shape) for _ in range(config.blocks))
        self.controlnet_blocks = nn.ModuleList(nn.Linear(config.width, config.width) for _ in range(config.blocks))

    def forward(
        self, x: Tensor, timesteps: Tensor, y: Tensor, hint: Tensor, main: MMDiTBase
    ) -> dict[str, list[Tensor | None]]:
        """Residuals for the main network's blocks, under `output`."""
        if self.config.twice_embedded:
            y, tokens = main.y_embedder(y), self.x_embedder(x)
        else:
            rows, columns = -(-x.shape[-2] // PATCH), -(-x.shape[-1] // PATCH)
            tokens = main.x_embedder(x) + computed_positions(self.config.width, rows, columns).to(x)
        vector = self.t_embedder(timestep_embedding(timesteps, TIME_CHANNELS).to(x.dtype)) + self.y_embedder(y)
        tokens = tokens + self.pos_embed_input(hint)
        outputs: list[Tensor | None] = []
        for each, way_out in zip(self.transformer_blocks, self.controlnet_blocks, strict=True):
            block = cast("StreamBlock", each)
            qkv, parts = block.before(tokens, vector)
            tokens = block.after(tokens, attend_heads(*qkv), parts)
            outputs += [way_out(tokens)] * math.ceil(main.config.blocks / self.config.blocks)
        return {"output": outputs[: main.config.blocks]}


def computed_positions(width: int, rows: int, columns: int) -> Tensor:
    """Sinusoidal positions [1, rows * columns, width]; the shorter side runs from 0 to 15."""
    shorter = min(rows, columns)
    sides = [
        torch.linspace(POSITION_CENTRE * (1 - side / shorter), POSITION_CENTRE * (1 + side / shorter), side)
        for side in (rows, columns)
    ]
    down, across = torch.meshgrid(*sides, indexing="ij")
    return torch.cat([_sinusoids(across, width // 2), _sinusoids(down, width // 2)], dim=1)[None]


def _sinusoids(places: Tensor, width: int) -> Tensor:
    steps = torch.arange(width // 2) / (width // 2)
    angles = places.flatten()[:, None] * (1.0 / 10000.0**steps)[None]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


@dataclass(frozen=True, slots=True)
class ControlFluxConfig:
    """Shape of a control network for Flux.

    `pixels`: its hint is a picture, otherwise a latent. `activated`: its ways out end in a SiLU.
    """

    flux: FluxConfig
    hint_channels: int = 16
    pixels: bool = False
    activated: bool = False
    kinds: int = 0


class ControlFlux(FluxBase):
    """Residuals for Flux from a picture (XLabs, MistoLine) or from the latent of one (InstantX and others)."""

    def __init__(self, config: ControlFluxConfig) -> None:
        super().__init__(config.flux)
        self.pixels = config.pixels
        width = config.flux.width
        if config.pixels:
            self.input_hint_block = nn.Sequential(*_hint_layers(MISTOLINE_LAYERS if config.activated else XLABS_LAYERS))
        self.pos_embed_input = nn.Linear(config.hint_channels * PATCH * PATCH, width)
        self.controlnet_blocks = nn.ModuleList(_way_out(config) for _ in self.double_blocks)
        if len(self.single_blocks):
            self.controlnet_single_blocks = nn.ModuleList(_way_out(config) for _ in self.single_blocks)
        if config.kinds:
            self.controlnet_mode_embedder = nn.Embedding(config.kinds, width)

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor,
        y: Tensor,
        hint: Tensor,
        guidance: Tensor | None = None,
        kinds: Sequence[int] = (),
    ) -> dict[str, list[Tensor | None]]:
        """Residuals for the main network's blocks of two streams under `input`, of one under `output`."""
        image, places = patch_tokens(x)
        image = self.img_in(image) + self.pos_embed_input(self._hint_tokens(hint))
        text = self.txt_in(context)
        if hasattr(self, "controlnet_mode_embedder") and kinds:
            kind = self.controlnet_mode_embedder(torch.tensor(list(kinds), device=text.device))
            text = torch.cat([kind[None].expand(len(text), -1, -1), text], dim=1)
        vector = self.vector(timesteps, y, guidance, x.dtype)
        rotation = self.rotation(torch.cat([places.new_zeros(text.shape[1], 3), places]))
        double: list[Tensor] = []
        for block, way_out in zip(self.double_blocks, self.controlnet_blocks, strict=True):
            image, text = block(image, text, vector=vector, rotation=rotation)
            double.append(way_out(image))
        single: list[Tensor] = []
        length, tokens = text.shape[1], torch.cat([text, image], dim=1)
        for block, way_out in zip(self.single_blocks, getattr(self, "controlnet_single_blocks", ()), strict=True):
            tokens = block(tokens, vector=vector, rotation=rotation)
            single.append(way_out(tokens[:, length:]))
        residuals = {"input": self._spread(double, FLUX_DOUBLE_BLOCKS)}
        if single:
            residuals["output"] = self._spread(single, FLUX_SINGLE_BLOCKS)
        return residuals

    def _hint_tokens(self, hint: Tensor) -> Tensor:
        if self.pixels:
            hint = self.input_hint_block(hint * 2.0 - 1.0)
        return patch_tokens(padded_to_multiple(hint, PATCH))[0]

    def _spread(self, outputs: Sequence[Tensor | None], blocks: int) -> list[Tensor | None]:
        """One residual for each block of the main network: in turn (hints of pixels), or each for several in a row."""
        each = math.ceil(blocks / len(outputs))
        if self.pixels:
            return (list(outputs) * each)[:blocks]
        return [output for output in outputs for _ in range(each)][:blocks]


def _way_out(config: ControlFluxConfig) -> nn.Module:
    linear = nn.Linear(config.flux.width, config.flux.width)
    return nn.Sequential(linear, nn.SiLU()) if config.activated else linear


def _hint_layers(kernels: Sequence[tuple[int, int]]) -> list[nn.Module]:
    """Convolutions with a SiLU between them."""
    layers: list[nn.Module] = []
    for number, (side, stride) in enumerate(kernels):
        channels = HINT_CHANNELS if number else 3
        layers += [nn.Conv2d(channels, HINT_CHANNELS, side, padding=side // 2, stride=stride), nn.SiLU()]
    return layers[:-1]


def control_mmdit_config_from(shapes: Mapping[str, tuple[int, ...]]) -> tuple[MMDiTConfig, int]:
    """Configuration and hint channels of a control network of SD3 whose tensors have these shapes."""
    return mmdit_config_from(shapes), shapes["pos_embed_input.proj.weight"][1]


def control_stream_config_from(shapes: Mapping[str, tuple[int, ...]]) -> ControlStreamConfig:
    """Configuration of Stability's control network whose tensors have these shapes."""
    blocks = 0
    while f"transformer_blocks.{blocks}.attn.qkv.weight" in shapes:
        blocks += 1
    width = shapes["transformer_blocks.0.attn.qkv.weight"][1]
    return ControlStreamConfig(
        width=width,
        hidden=shapes["transformer_blocks.0.mlp.fc1.weight"][0],
        blocks=blocks,
        hint_channels=shapes["pos_embed_input.proj.weight"][1],
        vector_width=shapes["y_embedder.mlp.0.weight"][1],
    )


def control_flux_config_from(shapes: Mapping[str, tuple[int, ...]]) -> ControlFluxConfig:
    """Configuration of a control network of Flux whose tensors have these shapes."""
    return ControlFluxConfig(
        flux_config_from(shapes),
        hint_channels=shapes["pos_embed_input.weight"][1] // PATCH**2,
        pixels="input_hint_block.0.weight" in shapes,
        activated="controlnet_blocks.0.0.weight" in shapes,
        kinds=shapes.get("controlnet_mode_embedder.weight", (0,))[0],
    )
