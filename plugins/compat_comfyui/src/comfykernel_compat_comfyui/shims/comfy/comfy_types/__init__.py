"""Types of nodes, for annotations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, TypedDict

from torch import Tensor

from .node_typing import IO, CheckLazyMixin, ComfyNodeABC, FileLocator, InputTypeDict

__all__ = ["IO", "CheckLazyMixin", "ComfyNodeABC", "FileLocator", "InputTypeDict", "UnetApplyFunction", "UnetParams"]

UnetApplyFunction = Callable[..., Tensor]


class UnetApplyConds(TypedDict, total=False):
    """What a network gets besides the noisy latent."""

    c_concat: Tensor | None
    c_crossattn: Tensor | None
    control: Any
    transformer_options: dict[str, Any]


class UnetParams(TypedDict):
    """What a wrapper of a network's call gets."""

    input: Tensor
    timestep: Tensor
    c: UnetApplyConds
    cond_or_uncond: list[Literal[0, 1]]


class UnetWrapperFunction(Protocol):
    """A function that stands around a network's call."""

    def __call__(self, apply: UnetApplyFunction, params: Mapping[str, Any]) -> Tensor: ...
