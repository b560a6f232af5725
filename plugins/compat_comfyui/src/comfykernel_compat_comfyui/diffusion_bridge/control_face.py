"""Control networks as packs know them: a network with its hint, in a chain with those that act before it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from ..missing_names import missing_attribute, not_provided
from .library import AppliedControlNet
from .library import ControlNet as ControlNetHandle


class AppliedControls:
    """Control networks of a condition of comfykernel, as the one object that packs pass along."""

    def __init__(self, controls: Sequence[Any]) -> None:
        self.controls = tuple(controls)
        self.previous_controlnet: AppliedControls | ControlBase | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise missing_attribute("comfy.controlnet.ControlBase of a condition of comfykernel", name)


class ControlBase:
    """What packs ask of any control network."""

    def __init__(self) -> None:
        self.cond_hint_original: Tensor | None = None
        self.cond_hint: Tensor | None = None
        self.strength = 1.0
        self.timestep_percent_range = (0.0, 1.0)
        self.vae: Any = None
        self.extra_concat_orig: list[Tensor] = []
        self.extra_args: dict[str, Any] = {}
        self.previous_controlnet: AppliedControls | ControlBase | None = None

    def set_cond_hint(
        self, cond_hint: Tensor, strength: float = 1.0, timestep_percent_range: tuple[float, float] = (0.0, 1.0),
        vae: Any = None, extra_concat: Sequence[Tensor] = (),
    ) -> Self:  # fmt: skip
        """Give it a hint [batch, channels, height, width], its strength and its part of the run."""
        self.cond_hint_original, self.strength, self.vae = cond_hint, strength, vae
        self.timestep_percent_range = timestep_percent_range
        self.extra_concat_orig = list(extra_concat)
        return self

    def set_previous_controlnet(self, controlnet: Any) -> Self:
        """Have another act as well."""
        self.previous_controlnet = controlnet
        return self

    def set_extra_arg(self, argument: str, value: Any = None) -> None:
        """Tell it more, such as the kinds of its hint."""
        self.extra_args[argument] = value

    def copy(self) -> Self:
        """Another one over the same network."""
        other = copy.copy(self)
        other.extra_args, other.extra_concat_orig = dict(self.extra_args), list(self.extra_concat_orig)
        return other

    def get_models(self) -> list[Any]:
        """What is to be loaded: nothing, the run loads what it needs."""
        return []

    def cleanup(self) -> None:
        """Nothing is left after a run."""

    def inference_memory_requirements(self, dtype: Any) -> float:
        """Bytes besides those that are counted anyway."""
        return 0.0


class ControlNet(ControlBase):
    """A control network or adapter of the diffusion library."""

    def __init__(self, *network: Any, handle: ControlNetHandle | None = None, **options: Any) -> None:
        if handle is None:
            raise not_provided("comfy.controlnet.ControlNet(network)")
        super().__init__()
        self.handle = handle
        self._applied: tuple[tuple[Any, ...], AppliedControlNet] | None = None

    def set_extra_arg(self, argument: str, value: Any = None) -> None:
        """``control_type``: the kinds of the hint of a union network, by number."""
        super().set_extra_arg(argument, value)
        if argument == "control_type":
            self.handle = self.handle.with_kinds(*(value or ()))

    def applied(self, *, both_sides: bool) -> AppliedControlNet:
        """The network with its hint, the same object for all conditions that carry it, so that they share batches."""
        hint = self.cond_hint_original
        if hint is None:
            hint = torch.zeros(1, 3, 8, 8)
        key = (id(hint), self.strength, self.timestep_percent_range, id(self.vae), id(self.handle), both_sides)
        if self._applied is None or self._applied[0] != key:
            start, end = self.timestep_percent_range
            mask = self.extra_concat_orig[0] if self.extra_concat_orig else None
            made = self.handle.applied(
                hint.movedim(1, -1), strength=self.strength, start_percent=start, end_percent=end,
                vae=getattr(self.vae, "handle", None), mask=mask, both_sides=both_sides,
            )  # fmt: skip
            self._applied = key, made
        return self._applied[1]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise missing_attribute("comfy.controlnet.ControlNet", name)


def control_of(handle: object) -> ControlNet:
    """A control network as packs know it."""
    assert isinstance(handle, ControlNetHandle)
    return ControlNet(handle=handle)


def chained(control: object, *, both_sides: bool) -> Iterator[Any]:
    """The control networks of a condition of a pack as the library knows them, those that act first in front."""
    found: list[Any] = []
    while isinstance(control, (AppliedControls, ControlNet)):
        if isinstance(control, AppliedControls):
            found += reversed(control.controls)
        else:
            found.append(control.applied(both_sides=both_sides))
        control = control.previous_controlnet
    yield from reversed(found)
