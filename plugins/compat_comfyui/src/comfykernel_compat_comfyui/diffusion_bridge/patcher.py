"""The handle of a model as packs know it: options, patches, and clones that share the weights."""

from __future__ import annotations

import copy
import uuid
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor

from ..missing_names import missing_attribute, not_provided
from .library import DiffusionModel, default_memory
from .model_face import BaseModel, face_of
from .sampling_face import SamplingFace, ours_of
from .weight_changes import NETWORK, changed_model

SAMPLING: Final = "model_sampling"
_patcher_of: weakref.WeakKeyDictionary[DiffusionModel, ModelPatcher] = weakref.WeakKeyDictionary()


class ModelPatcher:
    """A model with what packs have put on it.

    ``model`` is a :class:`~.model_face.BaseModel` for models of comfykernel, or any module that a pack made itself:
    such a handle is only passed along.
    """

    def __init__(
        self, model: Any, load_device: Any = None, offload_device: Any = None, size: int = 0,
        weight_inplace_update: bool = False,
    ) -> None:  # fmt: skip
        self.model = model
        self.load_device = load_device or default_memory().device
        self.offload_device = offload_device or torch.device("cpu")
        self.size = size
        self.weight_inplace_update = weight_inplace_update
        self.model_options: dict[str, Any] = {"transformer_options": {}}
        self.patches: dict[str, list[Any]] = {}
        self.object_patches: dict[str, Any] = {}
        self.attachments: dict[str, Any] = {}
        self.additional_models: dict[str, list[Any]] = {}
        self.callbacks: dict[str, dict[Any, list[Any]]] = {}
        self.wrappers: dict[str, dict[Any, list[Any]]] = {}
        self.injections: dict[str, list[Any]] = {}
        self.is_clip = False
        self.parent: Any = None
        self.patches_uuid = uuid.uuid4()
        self.handle: DiffusionModel | None = model.handle if isinstance(model, BaseModel) else None
        self._given: DiffusionModel | None = None

    # -- copies --------------------------------------------------------------------------------

    def clone(self) -> ModelPatcher:
        """Another handle of the same model: what is put on one is not on the other."""
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        made.model_options = create_model_options_clone(self.model_options)
        for name in ("patches", "additional_models", "injections"):
            setattr(made, name, {key: list(values) for key, values in getattr(self, name).items()})
        for name in ("callbacks", "wrappers"):
            own = getattr(self, name)
            setattr(made, name, {kind: {k: list(v) for k, v in keys.items()} for kind, keys in own.items()})
        made.object_patches, made.attachments = dict(self.object_patches), dict(self.attachments)
        made.parent = self
        return made

    def is_clone(self, other: Any) -> bool:
        """Whether the other handle is of the same model."""
        return isinstance(other, ModelPatcher) and other.model is self.model

    def clone_has_same_weights(self, clone: ModelPatcher) -> bool:
        """Whether weights are patched alike, too."""
        return self.is_clone(clone) and self.patches_uuid == clone.patches_uuid

    # -- loading -------------------------------------------------------------------------------

    def load_to_device(self) -> None:
        """Have the network on its device."""
        if self.handle is not None:
            _ = self.resolved().ready()
        elif isinstance(self.model, torch.nn.Module):
            self.model.to(self.load_device)

    def model_size(self) -> int:
        """Bytes of the weights."""
        if self.size <= 0 and self.handle is not None:
            self.size = self.handle.weights.size_hint(self.model_dtype())
        elif self.size <= 0:
            self.size = sum(p.numel() * p.element_size() for p in self.model.parameters())
        return self.size

    def loaded_size(self) -> int:
        """Bytes of the weights."""
        return self.model_size()

    def model_dtype(self) -> torch.dtype:
        """The precision of the network."""
        found: torch.dtype = self.model.get_dtype()
        return found

    def current_loaded_device(self) -> torch.device:
        """Where the network is."""
        return torch.device(self.load_device)

    def model_patches_to(self, device: Any) -> None:
        """Have objects among the patches moved, where they can be."""
        for by_name in self.model_options["transformer_options"].get("patches", {}).values():
            for patch in by_name:
                if hasattr(patch, "to"):
                    patch.to(device)

    def patch_model(self, *args: Any, **kwargs: Any) -> Any:
        """The model with its patches."""
        self.load_to_device()
        return self.model

    def unpatch_model(self, *args: Any, **kwargs: Any) -> None:
        """Nothing is to be undone: patched weights are a copy."""

    def partially_load(self, device_to: Any, extra_memory: float = 0, force_patch_weights: bool = False) -> int:
        """Have the network on its device."""
        self.load_to_device()
        return self.model_size()

    def detach(self, unpatch_all: bool = True) -> Any:
        """The model itself."""
        return self.model

    def cleanup(self) -> None:
        """Nothing is left over."""

    def pre_run(self) -> None:
        """Nothing is to be prepared."""

    def memory_required(self, input_shape: Any) -> float:
        """Bytes that a call may need."""
        return float(self.model.memory_required(input_shape))

    # -- options -------------------------------------------------------------------------------

    def set_model_sampler_cfg_function(
        self, sampler_cfg_function: Callable[..., Any], disable_cfg1_optimization: bool = False
    ) -> None:
        """Combine the predictions by a function."""
        takes_three = (
            sampler_cfg_function.__code__.co_argcount == 3 if hasattr(sampler_cfg_function, "__code__") else False
        )
        if takes_three and not hasattr(sampler_cfg_function, "__self__"):
            function = sampler_cfg_function
            sampler_cfg_function = lambda args: function(args["cond"], args["uncond"], args["cond_scale"])  # noqa: E731
        self.model_options["sampler_cfg_function"] = sampler_cfg_function
        self._maybe_keep_negative(disable_cfg1_optimization)

    def set_model_sampler_post_cfg_function(
        self, post_cfg_function: Callable[..., Any], disable_cfg1_optimization: bool = False
    ) -> None:
        """Change the combined prediction by one more function."""
        self.model_options = set_model_options_post_cfg_function(
            self.model_options, post_cfg_function, disable_cfg1_optimization
        )

    def set_model_sampler_pre_cfg_function(
        self, pre_cfg_function: Callable[..., Any], disable_cfg1_optimization: bool = False
    ) -> None:
        """Change the predictions by one more function before they are combined."""
        self.model_options = set_model_options_pre_cfg_function(
            self.model_options, pre_cfg_function, disable_cfg1_optimization
        )

    def set_model_sampler_calc_cond_batch_function(self, sampler_calc_cond_batch_function: Callable[..., Any]) -> None:
        """Predict by a function."""
        self.model_options["sampler_calc_cond_batch_function"] = sampler_calc_cond_batch_function

    def set_model_unet_function_wrapper(self, unet_wrapper_function: Callable[..., Any]) -> None:
        """Call the network through a function."""
        self.model_options["model_function_wrapper"] = unet_wrapper_function

    def set_model_denoise_mask_function(self, denoise_mask_function: Callable[..., Any]) -> None:
        """Change the mask of a run at each step by a function."""
        self.model_options["denoise_mask_function"] = denoise_mask_function

    def _maybe_keep_negative(self, wanted: bool) -> None:
        if wanted:
            self.model_options["disable_cfg1_optimization"] = True

    def set_model_patch(self, patch: Any, name: str) -> None:
        """Add a function to those of a point of the network."""
        options = self.model_options["transformer_options"]
        patches = options["patches"] = dict(options.get("patches", {}))
        patches[name] = [*patches.get(name, []), patch]

    def set_model_patch_replace(
        self, patch: Any, name: str, block_name: str, number: int, transformer_index: int | None = None
    ) -> None:
        """Put a function in place of a part of the network."""
        self.model_options = set_model_options_patch_replace(
            self.model_options, patch, name, block_name, number, transformer_index=transformer_index
        )

    def set_model_attn1_patch(self, patch: Any) -> None:
        """Change what goes into self-attention."""
        self.set_model_patch(patch, "attn1_patch")

    def set_model_attn2_patch(self, patch: Any) -> None:
        """Change what goes into cross-attention."""
        self.set_model_patch(patch, "attn2_patch")

    def set_model_attn1_replace(
        self, patch: Any, block_name: str, number: int, transformer_index: int | None = None
    ) -> None:
        """Replace self-attention in a block."""
        self.set_model_patch_replace(patch, "attn1", block_name, number, transformer_index)

    def set_model_attn2_replace(
        self, patch: Any, block_name: str, number: int, transformer_index: int | None = None
    ) -> None:
        """Replace cross-attention in a block."""
        self.set_model_patch_replace(patch, "attn2", block_name, number, transformer_index)

    def set_model_attn1_output_patch(self, patch: Any) -> None:
        """Change what self-attention gives."""
        self.set_model_patch(patch, "attn1_output_patch")

    def set_model_attn2_output_patch(self, patch: Any) -> None:
        """Change what cross-attention gives."""
        self.set_model_patch(patch, "attn2_output_patch")

    def set_model_input_block_patch(self, patch: Any) -> None:
        """Change what blocks of the input half give."""
        self.set_model_patch(patch, "input_block_patch")

    def set_model_input_block_patch_after_skip(self, patch: Any) -> None:
        """The same, not for what is kept for the output half."""
        self.set_model_patch(patch, "input_block_patch_after_skip")

    def set_model_output_block_patch(self, patch: Any) -> None:
        """Change what goes into blocks of the output half."""
        self.set_model_patch(patch, "output_block_patch")

    # -- parts ---------------------------------------------------------------------------------

    def get_model_object(self, name: str) -> Any:
        """A part of the model by its dotted name, the one that was put in its place if there is one."""
        if name in self.object_patches:
            return self.object_patches[name]
        found = self.model
        for part in name.split("."):
            found = getattr(found, part)
        return found

    def add_object_patch(self, name: str, obj: Any) -> None:
        """Put an object in place of a part of the model."""
        if name != SAMPLING and self.handle is not None:
            raise not_provided(f"ModelPatcher.add_object_patch({name!r})")
        self.object_patches[name] = obj

    def add_patches(
        self, patches: Mapping[Any, Any], strength_patch: float = 1.0, strength_model: float = 1.0
    ) -> list[str]:
        """Change weights; gives the names of those that were."""
        if self.handle is None:
            raise not_provided("ModelPatcher.add_patches of a model that a pack made itself")
        self.handle, used = changed_model(self.handle, patches, strength_patch, strength_model)
        for name in used:
            self.patches.setdefault(name, []).append((strength_patch, patches.get(name), strength_model, None, None))
        if used:
            self.patches_uuid = uuid.uuid4()
        return used

    def get_key_patches(self, filter_prefix: str | None = None) -> dict[str, list[Any]]:
        """The weights by name, each in a list with the patches on it."""
        weights = {name: [tensor] for name, tensor in self.model_state_dict(filter_prefix).items()}
        return {name: [*entry, *self.patches.get(name, [])] for name, entry in weights.items()}

    def model_state_dict(self, filter_prefix: str | None = None) -> dict[str, Tensor]:
        """The weights by name, without patches."""
        if self.handle is None:
            tensors = dict(self.model.state_dict())
        else:
            tensors = {NETWORK + name: tensor for name, tensor in self.handle.weights.source.tensors.items()}
        return {name: tensor for name, tensor in tensors.items() if name.startswith(filter_prefix or "")}

    # -- what packs attach ---------------------------------------------------------------------

    def set_attachments(self, key: str, attachment: Any) -> None:
        """Keep an object with the model."""
        self.attachments[key] = attachment

    def get_attachment(self, key: str) -> Any:
        """An object that was kept; ``None`` without it."""
        return self.attachments.get(key)

    def remove_attachments(self, key: str) -> None:
        """Forget an object."""
        self.attachments.pop(key, None)

    def set_additional_models(self, key: str, models: list[Any]) -> None:
        """Models that are needed besides."""
        self.additional_models[key] = models

    def get_additional_models_with_key(self, key: str) -> list[Any]:
        """Models that are needed besides, by key."""
        return self.additional_models.get(key, [])

    def get_additional_models(self) -> list[Any]:
        """All of them."""
        return [model for models in self.additional_models.values() for model in models]

    def add_wrapper(self, wrapper_type: str, wrapper: Callable[..., Any]) -> None:
        """Put a function around a step of sampling."""
        self.add_wrapper_with_key(wrapper_type, None, wrapper)

    def add_wrapper_with_key(self, wrapper_type: str, key: str | None, wrapper: Callable[..., Any]) -> None:
        """The same under a key."""
        self.wrappers.setdefault(wrapper_type, {}).setdefault(key, []).append(wrapper)

    def remove_wrappers_with_key(self, wrapper_type: str, key: str) -> None:
        """Take functions of a key away."""
        self.wrappers.get(wrapper_type, {}).pop(key, None)

    def get_wrappers(self, wrapper_type: str, key: str | None) -> list[Any]:
        """The functions of a key around a step."""
        return self.wrappers.get(wrapper_type, {}).get(key, [])

    def get_all_wrappers(self, wrapper_type: str) -> list[Any]:
        """All functions around a step."""
        return [wrapper for wrappers in self.wrappers.get(wrapper_type, {}).values() for wrapper in wrappers]

    def add_callback(self, call_type: str, callback: Callable[..., Any]) -> None:
        """Have a function told of a moment."""
        self.add_callback_with_key(call_type, None, callback)

    def add_callback_with_key(self, call_type: str, key: str | None, callback: Callable[..., Any]) -> None:
        """The same under a key."""
        self.callbacks.setdefault(call_type, {}).setdefault(key, []).append(callback)

    def set_injections(self, key: str, injections: list[Any]) -> None:
        """Have things done to the model before a run, and undone after it."""
        self.injections[key] = injections

    # -- the border ----------------------------------------------------------------------------

    def resolved(self) -> DiffusionModel:
        """The model for nodes of comfykernel, with everything that was put on it."""
        from .guided_run import with_options

        if self.handle is None:
            raise not_provided("a model that a pack made itself as the input of a node of comfykernel")
        model = self.handle
        if SAMPLING in self.object_patches:
            model = model.with_sampling(ours_of(self.object_patches[SAMPLING], model.sampling))
        return with_options(model, self)

    def __deepcopy__(self, memo: dict[int, Any]) -> ModelPatcher:
        return self.clone()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise missing_attribute("comfy.model_patcher.ModelPatcher", name)


def create_model_options_clone(orig_model_options: dict[str, Any]) -> dict[str, Any]:
    """A copy of options with its dicts and lists; functions stay the same objects."""
    from ..shims.comfy.patcher_extension import copy_nested_dicts

    return copy_nested_dicts(orig_model_options)


def set_model_options_patch_replace(
    model_options: dict[str, Any], patch: Any, name: str, block_name: str, number: int,
    transformer_index: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Options with a function in place of a part of the network."""
    options = model_options["transformer_options"] = dict(model_options.get("transformer_options", {}))
    replaced = options["patches_replace"] = dict(options.get("patches_replace", {}))
    places = replaced[name] = dict(replaced.get(name, {}))
    places[(block_name, number) if transformer_index is None else (block_name, number, transformer_index)] = patch
    return model_options


def set_model_options_post_cfg_function(
    model_options: dict[str, Any], post_cfg_function: Callable[..., Any], disable_cfg1_optimization: bool = False
) -> dict[str, Any]:
    """Options with one more function after the predictions are combined."""
    model_options["sampler_post_cfg_function"] = [
        *model_options.get("sampler_post_cfg_function", []),
        post_cfg_function,
    ]
    if disable_cfg1_optimization:
        model_options["disable_cfg1_optimization"] = True
    return model_options


def set_model_options_pre_cfg_function(
    model_options: dict[str, Any], pre_cfg_function: Callable[..., Any], disable_cfg1_optimization: bool = False
) -> dict[str, Any]:
    """Options with one more function before the predictions are combined."""
    model_options["sampler_pre_cfg_function"] = [*model_options.get("sampler_pre_cfg_function", []), pre_cfg_function]
    if disable_cfg1_optimization:
        model_options["disable_cfg1_optimization"] = True
    return model_options


def patcher_of(handle: object) -> ModelPatcher:
    """A model as packs know it; one that a pack has changed before is a clone of what the pack gave."""
    assert isinstance(handle, DiffusionModel)
    known = _patcher_of.get(handle)
    if known is not None:
        return known
    patcher = ModelPatcher(face_of(handle))
    patcher._given = handle
    _patcher_of[handle] = patcher
    return patcher


def handle_of(patcher: object) -> object:
    """The model behind a pack's handle; one that is not comfykernel's stays as it is."""
    assert isinstance(patcher, ModelPatcher)
    if patcher.handle is None:
        return patcher
    if patcher._given is not None and is_untouched(patcher):
        return patcher._given
    model = replace(patcher.resolved())
    _patcher_of[model] = patcher
    return model


def is_untouched(patcher: ModelPatcher) -> bool:
    """Whether nothing was put on a model since it came from a node of comfykernel."""
    options = {name: value for name, value in patcher.model_options.items() if value}
    put_on = (options, patcher.object_patches, patcher.wrappers, patcher.callbacks, patcher.injections)
    given = patcher._given
    return not any(put_on) and given is not None and patcher.handle is given


__all__ = ["ModelPatcher", "SamplingFace", "copy", "handle_of", "patcher_of"]
