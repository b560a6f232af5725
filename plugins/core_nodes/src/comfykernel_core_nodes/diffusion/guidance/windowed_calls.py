"""Calls of a model in context windows: latents, conditions and hints cut to each window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.condition_areas import PlacedCondition
from comfykernel_core_nodes.diffusion.control import AppliedControl
from comfykernel_core_nodes.diffusion.control_net import AppliedControlNet
from comfykernel_core_nodes.diffusion.errors import LatentShapeError
from comfykernel_core_nodes.diffusion.guidance.context_windows import FUSIONS, SCHEDULES, Window, Windows, fused
from comfykernel_core_nodes.diffusion.guidance.predictions import Side
from comfykernel_core_nodes.diffusion.guidance.stages import GuidedRun, Predict, Stages
from comfykernel_core_nodes.diffusion.hook_points import NO_HOOKS, Hooks
from comfykernel_sdk.families import LikeLatent, NetworkInput, Shared


def context_windows(
    windows: Windows, *, schedule: str = "standard_static", fusion: str = "pyramid", dim: int = 0
) -> Callable[[GuidedRun], Stages]:
    """Predict a dimension of the latent in windows; dim 0, the batch, is for models that see a batch as frames.

    Names of schedules and fusions are those in `SCHEDULES` and `FUSIONS`. Raises `LatentShapeError` for windows that
    do not go on, and in a run for a dimension that the latent lacks.
    """
    if windows.overlap >= windows.length:
        raise LatentShapeError(
            f"Context windows of {windows.length} cannot overlap by {windows.overlap}.",
            "Choose an overlap that is less than the length.",
        )

    def start(run: GuidedRun) -> Stages:
        cuts = _Cuts(dim)

        def around(predict: Predict, own: Tensor, sigma: Tensor) -> Predict:
            def predicted(
                sides: Sequence[Side | None], *, x: Tensor | None = None, hooks: Hooks = NO_HOOKS
            ) -> list[Tensor]:
                latent = own if x is None else x
                cuts.check(latent)
                count = latent.shape[dim]
                if count <= windows.length:
                    return predict(sides, x=x, hooks=hooks)
                step = int((run.sigmas.to(sigma) - sigma).abs().argmin())
                chosen = SCHEDULES[schedule](count, step, windows)
                parts = [
                    predict(
                        [cuts.side(side, window, count) for side in sides],
                        x=cuts.tensor(latent, window),
                        hooks=hooks,
                    )
                    for window in chosen
                ]
                weights = [FUSIONS[fusion](window, count, windows.overlap) for window in chosen]
                return [fused(each, chosen, weights, latent, dim) for each in zip(*parts, strict=True)]

            return predicted

        return Stages(around_prediction=(around,))

    return start


@dataclass(frozen=True, slots=True)
class _Cuts:
    """Conditions cut to windows of a dimension; each is cut once in a run, so that what shares a batch still does."""

    dim: int
    _conditions: dict[tuple[int, ...], PlacedCondition] = field(default_factory=dict)
    _controls: dict[tuple[int, ...], AppliedControl] = field(default_factory=dict)

    def check(self, latent: Tensor) -> None:
        """Raise `LatentShapeError` when a latent lacks the dimension."""
        if self.dim >= latent.ndim or self.dim == 1:
            message = f"Context windows over dimension {self.dim} of a latent {list(latent.shape)} are not possible."
            raise LatentShapeError(message, "Choose 0 for the batch, or 2 and more for what follows the channels.")

    def tensor(self, values: Tensor, window: Window) -> Tensor:
        """Values of the latent's dimensions, cut."""
        return values.index_select(self.dim, torch.tensor(window, device=values.device))

    def side(self, side: Side | None, window: Window, count: int) -> Side | None:
        """The conditions of a side, cut."""
        return None if side is None else [self._condition(each, window, count) for each in side]

    def _condition(self, placed: PlacedCondition, window: Window, count: int) -> PlacedCondition:
        key = (id(placed), *window)
        if key not in self._conditions:
            self._conditions[key] = self._cut(placed, window, count)
        return self._conditions[key]

    def _cut(self, placed: PlacedCondition, window: Window, count: int) -> PlacedCondition:
        if self.dim and (placed.area is not None or placed.condition.controls):
            raise LatentShapeError(
                f"Conditions with areas or control networks cannot be cut along dimension {self.dim}.",
                "Use context windows over the batch, or conditions without areas.",
            )
        mask = placed.mask
        if mask is not None and (self.dim or len(mask) == count):
            # A mask is [batch, height, width]: it lacks the channels.
            dim = max(self.dim - 1, 0)
            mask = mask.index_select(dim, torch.tensor(window, device=mask.device))
        inputs, for_controls = (
            None if each is None else {name: self._input(value, window, count) for name, value in each.items()}
            for each in (placed.inputs, placed.control_inputs)
        )
        controls = tuple(self._control(each, window, count) for each in placed.condition.controls)
        condition = placed.condition.with_changes(controls=controls) if controls else placed.condition
        return replace(placed, condition=condition, inputs=inputs or {}, control_inputs=for_controls, mask=mask)

    def _input(self, value: NetworkInput, window: Window, count: int) -> NetworkInput:
        if isinstance(value, Shared) or (self.dim and not isinstance(value, LikeLatent)):
            return value
        if value.value.shape[self.dim] != count:
            return value
        return replace(value, value=self.tensor(value.value, window))

    def _control(self, control: AppliedControl, window: Window, count: int) -> AppliedControl:
        key = (id(control), *window)
        if key not in self._controls:
            cut = control
            if isinstance(control, AppliedControlNet) and len(control.image) == count:
                cut = replace(control, image=self.tensor(control.image, window), _prepared={})
            self._controls[key] = cut
        return self._controls[key]
