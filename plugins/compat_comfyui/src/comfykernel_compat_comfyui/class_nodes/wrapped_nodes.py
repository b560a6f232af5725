"""Nodes of comfykernel as classes, for packs that call or subclass the nodes they know."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from comfykernel_sdk.context import current_context
from comfykernel_sdk.graph import Expansion
from comfykernel_sdk.nodes import Blocker, Result

from .borders import from_pack, to_pack

if TYPE_CHECKING:
    from comfykernel_sdk.nodes import InputSpec, NodeDefinition, NodeSpec

Choices = Callable[["InputSpec"], list[Any]]

FUNCTION_NAMES: Final[dict[str, str]] = {
    line.split(":")[0].strip(): line.split(":")[1].strip()
    for line in """
    CLIPTextEncode: encode(clip, text)
    CLIPSetLastLayer: set_last_layer(clip, stop_at_clip_layer)
    CheckpointLoaderSimple: load_checkpoint(ckpt_name)
    CheckpointLoader: load_checkpoint(config_name, ckpt_name)
    unCLIPCheckpointLoader: load_checkpoint(ckpt_name)
    DiffusersLoader: load_checkpoint(model_path)
    VAELoader: load_vae(vae_name)
    LoraLoader: load_lora(model, clip, lora_name, strength_model, strength_clip)
    LoraLoaderModelOnly: load_lora_model_only(model, lora_name, strength_model)
    ControlNetLoader: load_controlnet(control_net_name)
    DiffControlNetLoader: load_controlnet(model, control_net_name)
    ControlNetApply: apply_controlnet(conditioning, control_net, image, strength)
    ControlNetApplyAdvanced: apply_controlnet(positive, negative, control_net, image, strength, start_percent, end_percent, vae)
    UNETLoader: load_unet(unet_name, weight_dtype)
    CLIPLoader: load_clip(clip_name, type, device)
    DualCLIPLoader: load_clip(clip_name1, clip_name2, type, device)
    TripleCLIPLoader: load_clip(clip_name1, clip_name2, clip_name3)
    CLIPVisionLoader: load_clip(clip_name)
    CLIPVisionEncode: encode(clip_vision, image, crop)
    StyleModelLoader: load_style_model(style_model_name)
    StyleModelApply: apply_stylemodel(conditioning, style_model, clip_vision_output, strength, strength_type)
    unCLIPConditioning: apply_adm(conditioning, clip_vision_output, strength, noise_augmentation)
    GLIGENLoader: load_gligen(gligen_name)
    GLIGENTextBoxApply: append(conditioning_to, clip, gligen_textbox_model, text, width, height, x, y)
    HypernetworkLoader: load_hypernetwork(model, hypernetwork_name, strength)
    UpscaleModelLoader: load_model(model_name)
    ImageUpscaleWithModel: upscale(upscale_model, image)
    VAEDecode: decode(vae, samples)
    VAEDecodeTiled: decode(vae, samples, tile_size, overlap, temporal_size, temporal_overlap)
    VAEEncode: encode(vae, pixels)
    VAEEncodeTiled: encode(vae, pixels, tile_size, overlap, temporal_size, temporal_overlap)
    VAEEncodeForInpaint: encode(vae, pixels, mask, grow_mask_by)
    InpaintModelConditioning: encode(positive, negative, pixels, vae, mask, noise_mask)
    ConditioningCombine: combine(conditioning_1, conditioning_2)
    ConditioningConcat: concat(conditioning_to, conditioning_from)
    ConditioningAverage: addWeighted(conditioning_to, conditioning_from, conditioning_to_strength)
    ConditioningSetArea: append(conditioning, width, height, x, y, strength)
    ConditioningSetAreaPercentage: append(conditioning, width, height, x, y, strength)
    ConditioningSetAreaStrength: append(conditioning, strength)
    ConditioningSetMask: append(conditioning, mask, set_cond_area, strength)
    ConditioningZeroOut: zero_out(conditioning)
    ConditioningSetTimestepRange: set_range(conditioning, start, end)
    KSampler: sample(model, seed, steps, cfg, sampler_name, scheduler, positive, negative, latent_image, denoise)
    KSamplerAdvanced: sample(model, add_noise, noise_seed, steps, cfg, sampler_name, scheduler, positive, negative, latent_image, start_at_step, end_at_step, return_with_leftover_noise)
    SamplerCustom: sample(model, add_noise, noise_seed, cfg, positive, negative, sampler, sigmas, latent_image)
    SamplerCustomAdvanced: sample(noise, guider, sampler, sigmas, latent_image)
    BasicGuider: get_guider(model, conditioning)
    CFGGuider: get_guider(model, positive, negative, cfg)
    BasicScheduler: get_sigmas(model, scheduler, steps, denoise)
    KSamplerSelect: get_sampler(sampler_name)
    RandomNoise: get_noise(noise_seed)
    DisableNoise: get_noise()
    AlignYourStepsScheduler: get_sigmas(model_type, steps, denoise)
    GITSScheduler: get_sigmas(coeff, steps, denoise)
    EmptyLatentImage: generate(width, height, batch_size)
    LatentUpscale: upscale(samples, upscale_method, width, height, crop)
    LatentUpscaleBy: upscale(samples, upscale_method, scale_by)
    LatentFromBatch: frombatch(samples, batch_index, length)
    LatentBatch: batch(samples1, samples2)
    RepeatLatentBatch: repeat(samples, amount)
    LatentComposite: composite(samples_to, samples_from, x, y, composite_method, feather)
    LatentCompositeMasked: composite(destination, source, x, y, resize_source, mask)
    LatentBlend: blend(samples1, samples2, blend_factor, blend_mode)
    LatentRotate: rotate(samples, rotation)
    LatentFlip: flip(samples, flip_method)
    LatentCrop: crop(samples, width, height, x, y)
    SetLatentNoiseMask: set_mask(samples, mask)
    SaveLatent: save(samples, filename_prefix, prompt, extra_pnginfo)
    LoadLatent: load(latent)
    LoadImageMask: load_image(image, channel)
    ImageScale: upscale(image, upscale_method, width, height, crop)
    ImageScaleBy: upscale(image, upscale_method, scale_by)
    ImageInvert: invert(image)
    ImageBatch: batch(image1, image2)
    EmptyImage: generate(width, height, batch_size, color)
    ImagePadForOutpaint: expand_image(image, left, top, right, bottom, feathering)
    JoinImageWithAlpha: join_image_with_alpha(image, alpha)
    SplitImageWithAlpha: split_image_with_alpha(image)
    PorterDuffImageComposite: composite(source, source_alpha, destination, destination_alpha, mode)
    ImageCompositeMasked: composite(destination, source, x, y, resize_source, mask)
    GrowMask: expand_mask(mask, expand, tapered_corners)
    FeatherMask: feather(mask, left, top, right, bottom)
    InvertMask: invert(mask)
    MaskToImage: mask_to_image(mask)
    ImageToMask: image_to_mask(image, channel)
    MaskComposite: combine(destination, source, x, y, operation)
    DifferentialDiffusion: apply(model, strength)
    ModelSamplingDiscrete: patch(model, sampling, zsnr)
    ModelSamplingFlux: patch(model, max_shift, base_shift, width, height)
    ModelSamplingSD3: patch(model, shift, multiplier)
    ModelSamplingAuraFlow: patch_aura(model, shift)
    RescaleCFG: patch(model, multiplier)
    FreeU: patch(model, b1, b2, s1, s2)
    FreeU_V2: patch(model, b1, b2, s1, s2)
    FluxGuidance: append(conditioning, guidance)
    CLIPTextEncodeSDXL: encode(clip, width, height, crop_w, crop_h, target_width, target_height, text_g, text_l)
    CLIPTextEncodeSDXLRefiner: encode(clip, ascore, width, height, text)
    CLIPTextEncodeFlux: encode(clip, clip_l, t5xxl, guidance)
    CheckpointSave: save(model, clip, vae, filename_prefix, prompt, extra_pnginfo)
    """.strip().splitlines()
    if ":" in line
}  # fmt: skip
"""Class -> its function with the parameters in the order in which packs pass them."""

PLAIN_FUNCTION: Final = "execute"
"""Name of the function of a class that packs don't call by a name they know."""


class WrappedNode:
    """Base of classes that stand for nodes of comfykernel."""

    DEFINITION: ClassVar[NodeDefinition]
    CHOICES: ClassVar[Choices]
    PARAMETERS: ClassVar[tuple[str, ...]]
    FUNCTION: ClassVar[str]

    def __init__(self) -> None:
        create = self.DEFINITION.create
        self._instance = create() if create is not None else None

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Any]]:
        """The inputs by group."""
        groups: dict[str, dict[str, Any]] = {"required": {}}
        for declared in cls.DEFINITION.spec.inputs:
            groups.setdefault(declared.group, {})[declared.name] = _declaration(declared, cls.CHOICES)
        return groups

    def _call(self, *values: object, **named: object) -> Any:
        arguments = {**dict(zip(self.PARAMETERS, values, strict=False)), **named}
        arguments = {**_defaults(self.DEFINITION.spec, arguments), **arguments}
        arguments = {name: from_pack(value) for name, value in arguments.items()}
        if (parameter := self.DEFINITION.context_parameter) is not None:
            arguments[parameter] = current_context()
        returned = self.DEFINITION.run(self._instance, **arguments)
        return (
            _awaited(returned, self.DEFINITION.spec)
            if inspect.isawaitable(returned)
            else _given(returned, self.DEFINITION.spec)
        )


def wrap_node(definition: NodeDefinition, choices: Choices) -> type[WrappedNode]:
    """A class that stands for a node; ``choices`` gives the values of inputs that are lists of files."""
    spec = definition.spec
    function, _, parameters = FUNCTION_NAMES.get(spec.id, PLAIN_FUNCTION).partition("(")
    order = [name.strip() for name in parameters.rstrip(")").split(",") if name.strip()]
    order += [i.name for i in spec.inputs if i.name not in order]
    members: dict[str, Any] = {
        "__doc__": spec.description, "__module__": "nodes", "DEFINITION": definition, "CHOICES": staticmethod(choices),
        "PARAMETERS": tuple(order), "FUNCTION": function, function: WrappedNode._call,
        "RETURN_TYPES": tuple(output.type for output in spec.outputs),
        "RETURN_NAMES": tuple(output.name for output in spec.outputs),
        "OUTPUT_IS_LIST": tuple(output.is_list for output in spec.outputs),
        "OUTPUT_NODE": spec.output_node, "INPUT_IS_LIST": spec.input_is_list, "CATEGORY": spec.category,
        "DESCRIPTION": spec.description, "RELATIVE_PYTHON_MODULE": spec.python_module,
    }  # fmt: skip
    return type(spec.id, (WrappedNode,), members)


def _declaration(declared: InputSpec, choices: Choices) -> Any:
    if declared.group == "hidden":
        return declared.type
    listed = choices(declared)
    options = dict(declared.options or {})
    if listed is None:
        kind: Any = declared.type
    elif declared.as_list:
        kind = listed
    else:
        kind, options = declared.type, {**options, "options": listed}
    return (kind, options) if declared.options is not None or options else (kind,)


def _defaults(spec: NodeSpec, given: Mapping[str, object]) -> Iterator[tuple[str, object]] | dict[str, object]:
    """Defaults of required inputs that a pack leaves out."""
    return {
        declared.name: (declared.options or {})["default"]
        for declared in spec.inputs
        if declared.group == "required" and declared.name not in given and declared.has_default()
    }


async def _awaited(returned: Any, spec: NodeSpec) -> Any:
    return _given(await returned, spec)


def _given(returned: object, spec: NodeSpec) -> Any:
    """What the function of a class returns: a tuple, or a dict when something is shown."""
    if isinstance(returned, Expansion):
        return {"expand": returned.graph, "result": returned.result, "ui": returned.ui or {}}
    ui = returned.ui if isinstance(returned, Result) else None
    values: Sequence[object] = returned.values if isinstance(returned, Result) else (returned,)
    if len(values) == 1 and len(spec.outputs) != 1:
        (only,) = values
        values = () if not spec.outputs else (only,) * len(spec.outputs) if isinstance(only, Blocker) else only  # type: ignore[assignment]
    result = tuple(to_pack(value) for value in values)
    return result if ui is None else {"ui": ui, "result": result}
