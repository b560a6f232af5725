"""Nodes that make runs faster by leaving out steps whose result can be told from the last one."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from comfykernel_core_nodes.diffusion.guidance.step_cache import easy_cache, lazy_cache
from comfykernel_core_nodes.nodes.guidance.declarations import BareModel, OpenModel, declared
from comfykernel_sdk.sockets import Float, Toggle

MODULE: Final = "nodes_easycache"
CATEGORY: Final = "advanced/debug/model"

Threshold: TypeAlias = Annotated[
    float,
    Float(
        default=0.2,
        min=0.0,
        max=3.0,
        step=0.01,
        tooltip="Predicted relative change up to which steps are left out; higher is faster and less exact.",
    ),
]
CacheStart: TypeAlias = Annotated[
    float, Float(default=0.15, min=0.0, max=1.0, step=0.01, tooltip="From where in the run steps may be left out.")
]
CacheEnd: TypeAlias = Annotated[
    float, Float(default=0.95, min=0.0, max=1.0, step=0.01, tooltip="Up to where in the run steps may be left out.")
]
Verbose: TypeAlias = Annotated[bool, Toggle(default=False, tooltip="Log what is done at each step.")]


@declared(MODULE, "EasyCache", CATEGORY, "EasyCache", experimental=True)
def easy_cache_node(
    model: OpenModel, reuse_threshold: Threshold, start_percent: CacheStart, end_percent: CacheEnd, verbose: Verbose
) -> BareModel:
    """Leave out passes of the network while its output changes little and predictably."""
    return model.with_guidance(easy_cache(reuse_threshold, start_percent, end_percent, verbose=verbose))


@declared(MODULE, "LazyCache", CATEGORY, "LazyCache", experimental=True)
def lazy_cache_node(
    model: OpenModel, reuse_threshold: Threshold, start_percent: CacheStart, end_percent: CacheEnd, verbose: Verbose
) -> BareModel:
    """Leave out whole steps while the guided prediction changes little; for models of any kind, less exact."""
    return model.with_guidance(lazy_cache(reuse_threshold, start_percent, end_percent, verbose=verbose))
