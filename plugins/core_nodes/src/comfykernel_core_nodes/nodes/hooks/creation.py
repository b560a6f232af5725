"""Nodes that make hooks, join them, and put them on text models."""

from __future__ import annotations

from typing import Annotated, Final

from comfykernel_core_nodes.diffusion.checkpoints import load_checkpoint
from comfykernel_core_nodes.diffusion.condition_hooks import ConditionHooks, PatchSource, WeightHook, with_text_hooks
from comfykernel_core_nodes.diffusion.hook_sources import LoraSource, ModelSource
from comfykernel_core_nodes.diffusion.lora import load_lora
from comfykernel_core_nodes.nodes.errors import missing_part, reported
from comfykernel_core_nodes.nodes.hooks.sockets import Hooks, HookStrength, MaybeHooks, hook_node
from comfykernel_core_nodes.nodes.sockets import ClipModel
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.sockets import Choice, Toggle

CREATE: Final = "advanced/hooks/create"
COMBINE: Final = "advanced/hooks/combine"


@hook_node("CreateHookLora", category=CREATE, display_name="Create Hook LoRA")
def create_hook_lora(
    context: NodeContext,
    lora_name: Annotated[str, Choice(source="loras", bare=True)],
    strength_model: HookStrength,
    strength_clip: HookStrength,
    prev_hooks: MaybeHooks = None,
) -> Hooks:
    """Make a hook of a LoRA, for conditions and text models that are given it.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged.
    """
    if strength_model == 0 and strength_clip == 0:
        return prev_hooks or ()
    path = context.models.path("loras", lora_name)
    with reported():
        source = LoraSource(load_lora(path))
    return _added(prev_hooks, source, strength_model, strength_clip)


@hook_node("CreateHookLoraModelOnly", category=CREATE, display_name="Create Hook LoRA (MO)")
def create_hook_lora_model_only(
    context: NodeContext,
    lora_name: Annotated[str, Choice(source="loras", bare=True)],
    strength_model: HookStrength,
    prev_hooks: MaybeHooks = None,
) -> Hooks:
    """Make a hook of a LoRA that leaves text models as they are.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged.
    """
    return create_hook_lora(context, lora_name, strength_model, 0.0, prev_hooks)


@hook_node("CreateHookModelAsLora", category=CREATE, display_name="Create Hook Model as LoRA")
def create_hook_model_as_lora(
    context: NodeContext,
    ckpt_name: Annotated[str, Choice(source="checkpoints", bare=True)],
    strength_model: HookStrength,
    strength_clip: HookStrength,
    prev_hooks: MaybeHooks = None,
) -> Hooks:
    """Make a hook of a whole checkpoint: at strength 1 its weights take the place of the model's own.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged or holds a model of an unknown kind.
    """
    path = context.models.path("checkpoints", ckpt_name)
    with reported():
        checkpoint = load_checkpoint(path)
    return _added(prev_hooks, ModelSource(checkpoint.model, checkpoint.clip), strength_model, strength_clip)


@hook_node("CreateHookModelAsLoraModelOnly", category=CREATE, display_name="Create Hook Model as LoRA (MO)")
def create_hook_model_as_lora_model_only(
    context: NodeContext,
    ckpt_name: Annotated[str, Choice(source="checkpoints", bare=True)],
    strength_model: HookStrength,
    prev_hooks: MaybeHooks = None,
) -> Hooks:
    """Make a hook of a whole checkpoint that leaves text models as they are.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged or holds a model of an unknown kind.
    """
    return create_hook_model_as_lora(context, ckpt_name, strength_model, 0.0, prev_hooks)


@hook_node("CombineHooks2", category=COMBINE, display_name="Combine Hooks [2]")
def combine_hooks_2(hooks_A: MaybeHooks = None, hooks_B: MaybeHooks = None) -> Hooks:
    """Let two groups of hooks act together."""
    return _joined(hooks_A, hooks_B)


@hook_node("CombineHooks4", category=COMBINE, display_name="Combine Hooks [4]")
def combine_hooks_4(
    hooks_A: MaybeHooks = None, hooks_B: MaybeHooks = None, hooks_C: MaybeHooks = None, hooks_D: MaybeHooks = None
) -> Hooks:
    """Let up to four groups of hooks act together."""
    return _joined(hooks_A, hooks_B, hooks_C, hooks_D)


@hook_node("CombineHooks8", category=COMBINE, display_name="Combine Hooks [8]")
def combine_hooks_8(
    hooks_A: MaybeHooks = None,
    hooks_B: MaybeHooks = None,
    hooks_C: MaybeHooks = None,
    hooks_D: MaybeHooks = None,
    hooks_E: MaybeHooks = None,
    hooks_F: MaybeHooks = None,
    hooks_G: MaybeHooks = None,
    hooks_H: MaybeHooks = None,
) -> Hooks:
    """Let up to eight groups of hooks act together."""
    return _joined(hooks_A, hooks_B, hooks_C, hooks_D, hooks_E, hooks_F, hooks_G, hooks_H)


@hook_node("SetClipHooks", category="advanced/hooks/clip", display_name="Set CLIP Hooks")
def set_clip_hooks(
    clip: ClipModel,
    apply_to_conds: Annotated[bool, Toggle(default=True)],
    schedule_clip: Annotated[bool, Toggle(default=False)],
    hooks: MaybeHooks = None,
) -> ClipModel:
    """Read prompts with a text model as hooks change it, over the run as their keyframes say if it is scheduled.

    Conditions that are encoded so carry the hooks, too, if they are applied to them.

    Raises:
        BadInput: there is no text model.
    """
    if clip is None:
        raise missing_part("text model", "Load a checkpoint that has one.")
    if hooks is None:
        return clip
    return with_text_hooks(clip, hooks, scheduled=schedule_clip, on_conditions=apply_to_conds)


def _added(before: ConditionHooks | None, source: PatchSource, model: float, clip: float) -> ConditionHooks:
    return (*(before or ()), WeightHook(source, model, clip))


def _joined(*groups: ConditionHooks | None) -> ConditionHooks:
    return tuple(dict.fromkeys(hook for group in groups for hook in group or ()))
