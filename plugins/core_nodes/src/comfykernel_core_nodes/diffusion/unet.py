"""The latent-diffusion UNet (Rombach et al. 2022), in the layout of the original checkpoints.

Module names equal the keys below `model.diffusion_model.`, so a checkpoint loads unchanged into a model that was
made on the meta device: `UNet(config).load_state_dict(tensors, assign=True)`. Nothing is computed at construction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.attention import SpatialTransformer
from comfykernel_core_nodes.diffusion.errors import ResidualShapeError
from comfykernel_core_nodes.diffusion.hook_points import NO_HOOKS, Hooks, Point, Site
from comfykernel_core_nodes.diffusion.kept_texts import RecentTexts
from comfykernel_core_nodes.diffusion.unet_config import UNetConfig, unet_config_from

__all__ = ["Residuals", "UNet", "UNetConfig", "UNetEncoder", "timestep_embedding", "unet_config_from"]

# What a control network adds: residuals for "input" and "output" blocks and the "middle", in the order in which they
# are taken; None where nothing is added.
Residuals = Mapping[str, Sequence[Tensor | None]]

# Longest wavelength of the timestep embedding, in timesteps.
MAX_PERIOD = 10000.0


def timestep_embedding(timesteps: Tensor, width: int) -> Tensor:
    """Cosines, then sines, of the timesteps [batch] at `width / 2` frequencies: float32 [batch, width].

    Sinusoidal position encoding of Vaswani et al. 2017, section 3.5, with frequencies MAX_PERIOD ** (-i / half).
    """
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=timesteps.device)
    frequencies = torch.exp(-math.log(MAX_PERIOD) * steps / half)
    angles = timesteps.float()[:, None] * frequencies[None]
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class ResBlock(nn.Module):
    """Two convolutions with the time embedding added between them, and a residual."""

    def __init__(self, channels: int, out_channels: int, time_width: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            nn.GroupNorm(32, channels), nn.SiLU(), nn.Conv2d(channels, out_channels, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time_width, out_channels))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(32, out_channels),
            nn.SiLU(),
            nn.Identity(),  # dropout in the original numbering
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
        )
        self.skip_connection: nn.Module = (
            nn.Identity() if channels == out_channels else nn.Conv2d(channels, out_channels, 1)
        )

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        hidden = self.in_layers(x) + self.emb_layers(time)[:, :, None, None]
        out: Tensor = self.skip_connection(x) + self.out_layers(hidden)
        return out


class Downsample(nn.Module):
    """Halves height and width, rounding up."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.op(x)
        return out


class Upsample(nn.Module):
    """Enlarges to the given height and width by nearest neighbour, then convolves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        out: Tensor = self.conv(functional.interpolate(x, size=size, mode="nearest"))
        return out


class Stage(nn.Sequential):
    """One numbered entry of the UNet: its parts run in order, each with what it needs."""

    def forward(  # type: ignore[override]
        self,
        x: Tensor,
        time: Tensor,
        context: Tensor,
        size: tuple[int, int] | None = None,
        hooks: Hooks = NO_HOOKS,
        place: tuple[str, int] = ("middle", 0),
    ) -> Tensor:
        for part in self:
            if isinstance(part, ResBlock):
                x = part(x, time)
            elif isinstance(part, SpatialTransformer):
                x = part(x, context, hooks, *place)
            elif isinstance(part, Upsample):
                x = part(x, size)
            else:
                x = part(x)
        return x


class UNetEncoder(nn.Module):
    """The input half and the middle, which control networks share."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.recent_texts = RecentTexts()
        base = config.model_channels
        self.time_width = base * 4
        self.time_embed = two_layers(base, self.time_width)
        if config.adm_in_channels is not None:
            self.label_emb = nn.Sequential(two_layers(config.adm_in_channels, self.time_width))
        self.input_blocks = nn.ModuleList([Stage(nn.Conv2d(config.in_channels, base, 3, padding=1))])
        self.skip_channels = self._build_input()
        if config.transformer_depth_middle >= -1:
            self.middle_block = self._build_middle(base * config.channel_mult[-1])

    def time_vector(self, timesteps: Tensor, y: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Embedding [batch, 4 model_channels] of timesteps [batch] and, where the model has labels, y."""
        time: Tensor = self.time_embed(timestep_embedding(timesteps, self.config.model_channels).to(dtype))
        if self.config.adm_in_channels is None:
            return time
        if y is None:
            raise ValueError(f"this UNet needs y of shape [batch, {self.config.adm_in_channels}]")
        labelled: Tensor = time + self.label_emb(y.to(dtype))
        return labelled

    def _transformer(self, channels: int, depth: int) -> SpatialTransformer:
        config = self.config
        return SpatialTransformer(
            channels, config.context_dim, config.heads(channels), depth, linear=config.use_linear_in_transformer
        )

    def _build_middle(self, channels: int) -> Stage:
        parts: list[nn.Module] = [ResBlock(channels, channels, self.time_width)]
        if self.config.transformer_depth_middle >= 0:
            parts.append(self._transformer(channels, self.config.transformer_depth_middle))
            parts.append(ResBlock(channels, channels, self.time_width))
        return Stage(*parts)

    def _build_input(self) -> list[int]:
        """Fill `input_blocks`; return the channels of every stage's output, in order."""
        config = self.config
        channels = config.model_channels
        skips = [channels]
        depths = iter(config.transformer_depth)
        for level, mult in enumerate(config.channel_mult):
            for _ in range(config.num_res_blocks[level]):
                parts: list[nn.Module] = [ResBlock(channels, config.model_channels * mult, self.time_width)]
                channels = config.model_channels * mult
                if depth := next(depths):
                    parts.append(self._transformer(channels, depth))
                self.input_blocks.append(Stage(*parts))
                skips.append(channels)
            if level + 1 < len(config.channel_mult):
                self.input_blocks.append(Stage(Downsample(channels)))
                skips.append(channels)
        return skips


class UNet(UNetEncoder):
    """Predicts noise (or velocity) from a noisy latent, its timestep and a text context."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__(config)
        base = config.model_channels
        self.output_blocks = nn.ModuleList()
        self._build_output()
        self.out = nn.Sequential(nn.GroupNorm(32, base), nn.SiLU(), nn.Conv2d(base, config.out_channels, 3, padding=1))

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor,
        y: Tensor | None = None,
        control: Residuals | None = None,
        hooks: Hooks = NO_HOOKS,
    ) -> Tensor:
        """Prediction [batch, out_channels, height, width].

        x: [batch, in_channels, height, width], any height and width. timesteps: [batch], 0 to 999, fractions allowed.
        context: [batch, tokens, context_dim]. y: [batch, adm_in_channels], for models that have a label embedding.
        """
        time = self.time_vector(timesteps, y, x.dtype)
        context = self.recent_texts.same(context)
        waiting = {name: list(residuals) for name, residuals in (control or {}).items()}
        skips: list[Tensor] = []
        for number, stage in enumerate(self.input_blocks):
            x = _added(stage(x, time, context, None, hooks, ("input", number)), waiting.get("input"))
            x = hooks.changed(Point.INPUT_BLOCK, x, Site("input", number, call=hooks.call))
            skips.append(x)
            x = hooks.changed(Point.INPUT_BLOCK_ONWARD, x, Site("input", number, call=hooks.call))
        if self.config.transformer_depth_middle >= -1:
            x = self.middle_block(x, time, context, None, hooks, ("middle", 0))
        x = _added(x, waiting.get("middle"))
        x = hooks.changed(Point.MIDDLE_BLOCK, x, Site("middle", 0, call=hooks.call))
        for number, stage in enumerate(self.output_blocks):
            skip = _added(skips.pop(), waiting.get("output"))
            for change in hooks.at(Point.OUTPUT_BLOCK):
                x, skip = change(x, skip, Site("output", number, call=hooks.call))
            size = (skips[-1].shape[2], skips[-1].shape[3]) if skips else None
            x = stage(torch.cat([x, skip], dim=1), time, context, size, hooks, ("output", number))
        out: Tensor = self.out(x)
        return out

    def _build_output(self) -> None:
        """Fill `output_blocks` from the channels that the input half hands over."""
        config = self.config
        channels = config.model_channels * config.channel_mult[-1]
        depths = iter(reversed(config.transformer_depth_output))
        waiting = list(self.skip_channels)
        for level, mult in reversed(list(enumerate(config.channel_mult))):
            for index in range(config.num_res_blocks[level] + 1):
                parts: list[nn.Module] = [
                    ResBlock(channels + waiting.pop(), config.model_channels * mult, self.time_width)
                ]
                channels = config.model_channels * mult
                if depth := next(depths):
                    parts.append(self._transformer(channels, depth))
                if level and index == config.num_res_blocks[level]:
                    parts.append(Upsample(channels))
                self.output_blocks.append(Stage(*parts))


def _added(x: Tensor, waiting: list[Tensor | None] | None) -> Tensor:
    """The next residual of a control network added, the last one in the list first."""
    residual = waiting.pop() if waiting else None
    if residual is None:
        return x
    if residual.shape[1:] != x.shape[1:]:
        raise ResidualShapeError(
            f"The control network or adapter adds {list(residual.shape)} where the model has {list(x.shape)}.",
            "Choose one that is made for the model's family.",
        )
    return x + residual.to(x.dtype)


def two_layers(width: int, out: int) -> nn.Sequential:
    """Two linear layers around a SiLU: how vectors enter the time embedding."""
    return nn.Sequential(nn.Linear(width, out), nn.SiLU(), nn.Linear(out, out))
