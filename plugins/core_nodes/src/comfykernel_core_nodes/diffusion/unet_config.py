"""The shape of a latent-diffusion UNet, and how it is told from the shapes of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# SD1 (1x1 convolution before its transformers) splits into 8 heads; SD2 and SDXL (linear) into heads of 64 channels.
CONVOLUTION_HEADS = 8
LINEAR_HEAD_CHANNELS = 64


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """Shape of a UNet.

    Depths are numbers of transformer blocks: one for each residual block, from the highest resolution to the lowest;
    `transformer_depth_output` is read from its end, because the output half climbs back. `transformer_depth_middle` -1
    stands for a middle of one residual block, -2 for no middle at all. `context_dim` 0: nothing reads a text.
    Exactly one of `num_heads` and `num_head_channels` is positive.
    """

    in_channels: int = 4
    out_channels: int = 4
    model_channels: int = 320
    num_res_blocks: tuple[int, ...] = (2, 2, 2, 2)
    channel_mult: tuple[int, ...] = (1, 2, 4, 4)
    transformer_depth: tuple[int, ...] = (1, 1, 1, 1, 1, 1, 0, 0)
    transformer_depth_output: tuple[int, ...] = (1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0)
    transformer_depth_middle: int = 1
    context_dim: int = 768
    num_heads: int = CONVOLUTION_HEADS
    num_head_channels: int = -1
    use_linear_in_transformer: bool = False
    adm_in_channels: int | None = None

    def heads(self, channels: int) -> int:
        """Number of attention heads in a block of so many channels."""
        return self.num_heads if self.num_heads > 0 else max(1, channels // self.num_head_channels)


def unet_config_from(shapes: Mapping[str, tuple[int, ...]]) -> UNetConfig:
    """Configuration of the UNet whose tensors have these shapes; keys are without `model.diffusion_model.`.

    Raises KeyError when a tensor that every UNet has is missing.
    """
    base = shapes["input_blocks.0.0.weight"][0]
    mults, res_blocks, depths = _input_levels(shapes, base)
    outputs = _count(shapes, "output_blocks.{}.0.in_layers.0.weight")
    linear = len(_first(shapes, "1.proj_in.weight")) == 2
    label = shapes.get("label_emb.0.0.weight")
    return UNetConfig(
        in_channels=shapes["input_blocks.0.0.weight"][1],
        out_channels=shapes["out.2.weight"][0] if "out.2.weight" in shapes else shapes["input_blocks.0.0.weight"][1],
        model_channels=base,
        num_res_blocks=res_blocks,
        channel_mult=mults,
        transformer_depth=depths,
        transformer_depth_output=tuple(_depth(shapes, f"output_blocks.{n}.1.") for n in reversed(range(outputs))),
        transformer_depth_middle=_middle_depth(shapes),
        context_dim=_context_width(shapes),
        num_heads=-1 if linear else CONVOLUTION_HEADS,
        num_head_channels=LINEAR_HEAD_CHANNELS if linear else -1,
        use_linear_in_transformer=linear,
        adm_in_channels=label[1] if label else None,
    )


def _first(shapes: Mapping[str, tuple[int, ...]], ending: str) -> tuple[int, ...]:
    """The shape of any tensor with that end; they all agree in what is asked for."""
    for name, shape in shapes.items():
        if name.endswith(ending):
            return shape
    raise KeyError(ending)


def _context_width(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Channels of the texts; 0 where transformers have no blocks, as in the smallest control networks."""
    return next((shape[1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")), 0)


def _middle_depth(shapes: Mapping[str, tuple[int, ...]]) -> int:
    if "middle_block.0.in_layers.0.weight" not in shapes:
        return -2
    depth = _depth(shapes, "middle_block.1.")
    return depth if "middle_block.1.proj_in.weight" in shapes else depth or -1


def _input_levels(
    shapes: Mapping[str, tuple[int, ...]], base: int
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Channel multipliers and residual blocks of every level, and the depth at every residual block."""
    mults: list[int] = []
    counts: list[int] = [0]
    depths: list[int] = []
    index = 1
    while True:
        stage = f"input_blocks.{index}."
        if f"{stage}0.op.weight" in shapes:
            counts.append(0)
        elif f"{stage}0.out_layers.3.weight" in shapes:
            if counts[-1] == 0:
                mults.append(shapes[f"{stage}0.out_layers.3.weight"][0] // base)
            counts[-1] += 1
            depths.append(_depth(shapes, f"{stage}1."))
        else:
            return tuple(mults), tuple(counts), tuple(depths)
        index += 1


def _depth(shapes: Mapping[str, tuple[int, ...]], transformer: str) -> int:
    return _count(shapes, transformer + "transformer_blocks.{}.norm1.weight")


def _count(shapes: Mapping[str, tuple[int, ...]], pattern: str) -> int:
    """How many of the keys pattern.format(0), pattern.format(1) ... follow each other."""
    count = 0
    while pattern.format(count) in shapes:
        count += 1
    return count
