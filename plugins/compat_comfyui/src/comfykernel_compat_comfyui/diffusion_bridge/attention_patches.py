"""Functions of packs inside the network, put at the library's hook points."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import torch
from torch import Tensor

from .library import Hooks, Point, Site

PATCHES, REPLACEMENTS = "patches", "patches_replace"
LATER_BLOCKS: Final = ("output", "double_block", "single_block")

_INPUTS: Final = {"attn1_patch": Point.SELF_INPUTS, "attn2_patch": Point.CROSS_INPUTS}
_OUTPUTS: Final = {
    "attn1_output_patch": Point.SELF_OUTPUT, "attn2_output_patch": Point.CROSS_OUTPUT,
    "middle_patch": Point.BETWEEN_ATTENTIONS,
}  # fmt: skip
_MAPS: Final = {
    "input_block_patch": Point.INPUT_BLOCK, "input_block_patch_after_skip": Point.INPUT_BLOCK_ONWARD,
    "middle_block_patch": Point.MIDDLE_BLOCK,
}  # fmt: skip
_REPLACED: Final = {"attn1": Point.SELF_ATTENTION, "attn2": Point.CROSS_ATTENTION}


def hooks_of(options: Mapping[str, Any]) -> Hooks:
    """The hooks that stand for ``transformer_options``."""
    hooks = Hooks()
    for name, functions in (options.get(PATCHES) or {}).items():
        for function in functions:
            hooks = _patch(hooks, name, function, options)
    for name, by_place in (options.get(REPLACEMENTS) or {}).items():
        if name in _REPLACED and by_place:
            hooks = hooks.with_function(_REPLACED[name], _replacing(by_place, options))
    return hooks


def _patch(hooks: Hooks, name: str, function: Callable[..., Any], options: Mapping[str, Any]) -> Hooks:
    if name in _INPUTS:

        def inputs(q: Tensor, k: Tensor, v: Tensor, site: Site) -> tuple[Tensor, Tensor, Tensor]:
            new_q, new_k, new_v = function(q, k, v, extra_options(site, options))
            return new_q, new_k, new_v

        return hooks.with_function(_INPUTS[name], inputs)
    if name in _OUTPUTS:
        return hooks.with_function(_OUTPUTS[name], lambda x, site: function(x, extra_options(site, options)))
    if name in _MAPS:
        return hooks.with_function(_MAPS[name], lambda h, site: function(h, extra_options(site, options)))
    if name == "output_block_patch":
        return hooks.with_function(
            Point.OUTPUT_BLOCK, lambda h, skip, site: function(h, skip, extra_options(site, options))
        )
    return hooks


def _replacing(by_place: Mapping[Any, Callable[..., Any]], options: Mapping[str, Any]) -> Callable[..., Any]:
    """One function for all places: where nothing is replaced, plain attention."""

    def attend(q: Tensor, k: Tensor, v: Tensor, site: Site) -> Tensor:
        from ..shims.comfy.ldm.modules.attention import optimized_attention

        block = (site.block, site.number)
        function = by_place.get((*block, site.index)) or by_place.get(block)
        if function is None:
            return optimized_attention(q, k, v, site.heads)
        replaced: Tensor = function(q, k, v, extra_options(site, options, width=q.shape[-1]))
        return replaced

    return attend


def extra_options(site: Site, options: Mapping[str, Any], *, width: int | None = None) -> dict[str, Any]:
    """What packs are told of the place and the call."""
    call = site.call
    told = {name: value for name, value in options.items() if name not in (PATCHES, REPLACEMENTS)}
    told |= {
        "block": (site.block, site.number), "block_index": site.index, "transformer_index": site.index,
        "n_heads": site.heads, "cond_or_uncond": list(call.sides), "original_shape": list(call.latent_shape),
        PATCHES: options.get(PATCHES, {}), REPLACEMENTS: options.get(REPLACEMENTS, {}),
    }  # fmt: skip
    if call.sigma is not None:
        told["sigmas"] = call.sigma
    if width is not None:
        told["dim_head"] = width // site.heads
    return told


def placed_options(options: Mapping[str, Any], sides: Iterable[int], sigma: Tensor) -> dict[str, Any]:
    """``transformer_options`` of one call of the network."""
    return {
        **options,
        "cond_or_uncond": list(sides),
        "sigmas": sigma,
        "sample_sigmas": options.get("sample_sigmas", torch.zeros(0)),
    }
