"""Sockets of hooks, and the declaration that their nodes share."""

from __future__ import annotations

from functools import partial
from typing import Annotated, TypeAlias

from comfykernel_core_nodes.diffusion.condition_hooks import ConditionHooks
from comfykernel_core_nodes.diffusion.keyframes import Keyframes
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_sdk.sockets import Float, Out, Socket

hook_node = partial(extra_node("nodes_hooks"), experimental=True)

Hooks: TypeAlias = Annotated[ConditionHooks, Socket("HOOKS")]
MaybeHooks: TypeAlias = Annotated[ConditionHooks | None, Socket("HOOKS")]
MaybeKeyframes: TypeAlias = Annotated[Keyframes | None, Socket("HOOK_KEYFRAMES")]
OutKeyframes: TypeAlias = Annotated[Keyframes, Socket("HOOK_KEYFRAMES"), Out("HOOK_KF")]
Timesteps: TypeAlias = Annotated[tuple[float, float], Socket("TIMESTEPS_RANGE")]

HookStrength: TypeAlias = Annotated[float, Float(default=1.0, min=-20.0, max=20.0, step=0.01)]
StartPercent: TypeAlias = Annotated[float, Float(default=0.0, min=0.0, max=1.0, step=0.001)]
EndPercent: TypeAlias = Annotated[float, Float(default=1.0, min=0.0, max=1.0, step=0.001)]
