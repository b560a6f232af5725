"""Conditions: what steers a model, where in the picture, how strongly, and during which part of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from torch import Tensor

from comfykernel_core_nodes.diffusion.control import AppliedControl, Attachment

if TYPE_CHECKING:
    from comfykernel_core_nodes.diffusion.condition_hooks import WeightHook
    from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel

# Under these names a condition carries the text that control networks read, as tokens and as one vector.
CONTROL_TOKENS: Final = "cross_attn_controlnet"
CONTROL_POOLED: Final = "pooled_output_controlnet"


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle, in latent units, or in parts of the picture (0..1) when `relative`."""

    height: float
    width: float
    y: float
    x: float
    relative: bool = False

    def resolved(self, height: int, width: int) -> tuple[int, int, int, int]:
        """(height, width, y, x) in whole latent units for a latent of the given size."""
        if not self.relative:
            return int(self.height), int(self.width), int(self.y), int(self.x)
        return (
            max(1, round(self.height * height)),
            max(1, round(self.width * width)),
            round(self.y * height),
            round(self.x * width),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Conditioning:
    """One condition. A list of them acts together; where they overlap, they are averaged by strength."""

    tokens: Tensor
    """[1 or batch, tokens, channels]: the text model's output"""
    pooled: Tensor | None = None
    """[1 or batch, channels]: one vector for the whole text"""
    area: Area | None = None
    strength: float = 1.0
    mask: Tensor | None = None
    """[1 or batch, height, width], 0..1, of any size"""
    mask_strength: float = 1.0
    mask_bounds: bool = False
    """compute inside the mask's bounding box only"""
    start_percent: float | None = None
    end_percent: float | None = None
    text_range: tuple[float, float] | None = None
    """the part of the run, 0..1, that its text was encoded for; it acts only where this and the other range overlap"""
    default: bool = False
    """acts where no other condition of its side does, with what they leave of the full weight"""
    hooks: tuple[WeightHook, ...] = ()
    """patches of the network's weights that hold for this condition"""
    model: DiffusionModel | None = None
    """predicts for this condition in place of the run's model; of the same latents and noise"""
    controls: tuple[AppliedControl, ...] = ()
    """control networks that act on this condition, their residuals added up"""
    attachments: tuple[Attachment, ...] = ()
    """what acts inside the network for this condition alone, such as texts at boxes"""
    extra: Mapping[str, object] = field(default_factory=dict)
    """entries for models and nodes of other packs, by name"""

    def with_changes(self, **changes: object) -> Conditioning:
        """A copy with other values."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def without_text(self) -> Conditioning:
        """The same with a text of no tokens: a model sees the rest alone, such as pictures and sizes."""
        pooled = None if self.pooled is None else self.pooled.new_zeros(self.pooled.shape)
        # A bias of attention is as long as the text.
        extra = {name: value for name, value in self.extra.items() if name != "attention_bias"}
        return replace(self, tokens=self.tokens[:, :0], pooled=pooled, extra=extra)

    def for_controls(self) -> Conditioning | None:
        """The same with the text that control networks read in its place; None where they read its own."""
        tokens, pooled = (self.extra.get(name) for name in (CONTROL_TOKENS, CONTROL_POOLED))
        if not isinstance(tokens, Tensor):
            return None
        vector = pooled if isinstance(pooled, Tensor) else self.pooled
        # A bias of attention is as long as the text.
        extra = {name: value for name, value in self.extra.items() if name != "attention_bias"}
        return replace(self, tokens=tokens, pooled=vector, extra=extra)


Conditions = Sequence[Conditioning]
