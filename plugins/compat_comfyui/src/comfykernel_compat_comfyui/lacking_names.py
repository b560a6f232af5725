"""Names that packs import though they have no meaning here: they can be imported, subclassed and asked about.

Calling them, or making an instance, raises an error with the pack, the name and what to do. A name that begins with a
capital letter stands for a class, any other for a function.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from .missing_names import missing_attribute, not_provided

LACKING: Final[dict[str, str]] = {
    "comfy.cldm.cldm": "ControlNet",
    "comfy.cldm.mmdit": "ControlNet",
    "comfy.context_windows": (
        "ContextFuseMethod ContextSchedule IndexListContextHandler IndexListContextWindow "
        "create_prepare_sampling_wrapper get_matching_context_schedule get_matching_fuse_method"
    ),
    "comfy.diffusers_convert": "convert_unet_state_dict convert_vae_state_dict convert_text_enc_state_dict",
    "comfy.diffusers_load": "load_diffusers",
    "comfy.gligen": "Gligen load_gligen",
    "comfy.hooks": (
        "EnumHookMode EnumHookScope EnumHookType EnumWeightTarget Hook HookGroup HookKeyframe HookKeyframeGroup "
        "TransformerOptionsHook WeightHook WrapperHook create_hook_lora create_target_dict load_hook_lora_for_models "
        "set_conds_props set_conds_props_and_combine set_default_conds_and_combine set_hooks_for_conditioning"
    ),
    "comfy.image_encoders.dino2": "Dinov2Model",
    "comfy.ldm.anima.model": "Anima",
    "comfy.ldm.cosmos.predict2": "Attention Block MiniTrainDIT",
    "comfy.ldm.flux.layers": "DoubleStreamBlock SingleStreamBlock EmbedND MLPEmbedder timestep_embedding",
    "comfy.ldm.flux.math": "apply_rope attention rope",
    "comfy.ldm.flux.model": "Flux",
    "comfy.ldm.hunyuan_video.model": "HunyuanVideo",
    "comfy.ldm.lightricks.model": "LTXVModel apply_rotary_emb precompute_freqs_cis",
    "comfy.ldm.lightricks.symmetric_patchifier": "SymmetricPatchifier latent_to_pixel_coords",
    "comfy.ldm.lightricks.vae.causal_conv3d": "CausalConv3d",
    "comfy.ldm.lightricks.vae.causal_video_autoencoder": "Decoder Encoder ResnetBlock3D VideoVAE",
    "comfy.ldm.lightricks.vae.pixel_norm": "PixelNorm",
    "comfy.ldm.lumina.model": "FeedForward JointAttention NextDiT",
    "comfy.ldm.models.autoencoder": "AutoencoderKL AutoencodingEngine",
    "comfy.ldm.modules.diffusionmodules.mmdit": "JointBlock MMDiT OpenAISignatureMMDITWrapper RMSNorm",
    "comfy.ldm.modules.diffusionmodules.model": "AttnBlock Decoder Downsample Encoder ResnetBlock Upsample",
    "comfy.ldm.modules.diffusionmodules.openaimodel": (
        "Downsample ResBlock SpatialTransformer Timestep TimestepBlock TimestepEmbedSequential UNetModel Upsample "
        "VideoResBlock apply_control forward_timestep_embed"
    ),
    "comfy.ldm.modules.distributions.distributions": "DiagonalGaussianDistribution",
    "comfy.ldm.modules.encoders.noise_aug_modules": "CLIPEmbeddingNoiseAugmentation",
    "comfy.ldm.wan.model": (
        "WanAttentionBlock WanI2VCrossAttention WanModel WanSelfAttention WanT2VCrossAttention sinusoidal_embedding_1d"
    ),
    "comfy.ldm.wan.vae": "CausalConv3d RMS_norm ResidualBlock WanVAE",
    "comfy.model_base": (
        "Anima CLIPEmbeddingNoiseAugmentation CosmosPredict2 Flux2 HiDream HunyuanDiT HunyuanVideo IP2P Lumina2 PixArt "
        "QwenImage SD15_instructpix2pix SD21UNCLIP SDXL_instructpix2pix SVD_img2vid StableCascade_B StableCascade_C "
        "Timestep WAN21 convert_tensor model_sampling sdxl_pooled"
    ),
    "comfy.model_detection": (
        "convert_config count_blocks detect_unet_config model_config_from_unet model_config_from_unet_config "
        "unet_config_from_diffusers_unet unet_prefix_from_state_dict"
    ),
    "comfy.sdxl_clip": (
        "SDXLClipG SDXLClipGTokenizer SDXLClipModel SDXLRefinerClipModel SDXLRefinerTokenizer SDXLTokenizer "
        "StableCascadeClipModel StableCascadeTokenizer"
    ),
    "comfy.supported_models": (
        "Flux GenmoMochi HiDream HunyuanDiT HunyuanVideo Lumina2 QwenImage SD15 SD20 SD3 SDXL SDXLRefiner SVD_img2vid "
        "WAN21_T2V"
    ),
    "comfy.supported_models_base": "BASE ClipTarget",
    "comfy.taesd.taesd": "Block Clamp Decoder Encoder TAESD conv",
    "comfy.text_encoders.flux": "FluxClipModel FluxTokenizer flux_clip",
    "comfy.text_encoders.hunyuan_video": "HunyuanVideoClipModel hunyuan_video_clip",
    "comfy.text_encoders.sd2_clip": "SD2ClipModel SD2Tokenizer",
    "comfy.text_encoders.sd3_clip": "SD3ClipModel SD3Tokenizer T5XXLModel T5XXLTokenizer sd3_clip",
    "comfy.text_encoders.t5": "T5",
    "comfy.weight_adapter": "WeightAdapterBase",
    "comfy_extras.chainner_models.model_loading": "load_state_dict",
    "comfy_extras.nodes_hooks": "CreateHookModelAsLora SetClipHooks",
    "comfy_extras.nodes_lt": "LTXVAddGuide get_noise_mask",
    "comfy_extras.nodes_perpneg": "Guider_PerpNeg",
    "execution": (
        "CacheSet IsChangedCache PromptExecutor PromptQueue SENSITIVE_EXTRA_DATA_KEYS full_type_name get_input_data "
        "map_node_over_list recursive_execute validate_inputs validate_prompt"
    ),
}
"""Module -> names. Modules above them, such as ``comfy.ldm``, are there as well."""

PACKAGES: Final = frozenset(name.rsplit(".", depth)[0] for name in LACKING for depth in range(1, name.count(".") + 1))
NODE_MODULES: Final = "comfy_extras.nodes_"
"""Modules that begin so hold nodes: their names are looked up in the table of nodes."""


class LackingClass(type):
    """Kind of the classes that stand for names without meaning."""

    def __getattr__(cls, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        raise missing_attribute(cls.__dict__.get("NAME", cls.__qualname__), attribute)


def lacking_class(name: str) -> type:
    """A class that can be subclassed and asked about, but not made an instance of."""

    def __init__(self: object, *args: object, **kwargs: object) -> None:
        raise not_provided(name)

    module, _, short = name.rpartition(".")
    members = {"__module__": module, "__init__": __init__, "forward": lacking_function(f"{name}.forward"), "NAME": name}
    return LackingClass(short, (), members)


def lacking_function(name: str) -> Callable[..., Any]:
    """A function that raises when it is called."""

    def call(*args: object, **kwargs: object) -> Any:
        raise not_provided(name)

    call.__name__, call.__qualname__, call.__module__ = name.rpartition(".")[2], name, name.rpartition(".")[0]
    return call


def lacking(name: str) -> Any:
    """What stands for a name, by its full path."""
    short = name.rpartition(".")[2]
    return lacking_class(name) if short[:1].isupper() and not short.isupper() else lacking_function(name)


def is_synthetic(module: str) -> bool:
    """Whether a module without a file of its own can be imported."""
    return module in LACKING or module in PACKAGES or module.startswith(NODE_MODULES)


def synthetic_module(name: str) -> ModuleType:
    """A module that holds nothing but names without meaning, or nodes."""
    module = ModuleType(name, "Names that packs import.")
    if name in PACKAGES:
        module.__path__ = []
    fill(module, name)
    return module


def fill(module: ModuleType, name: str) -> None:
    """Add the names without meaning that the module does not define itself."""
    for short in LACKING.get(name, "").split():
        if short not in vars(module):
            setattr(module, short, lacking(f"{name}.{short}"))


def node_class(name: str) -> Any:
    """A node of comfykernel as a class; one that packs know and comfykernel lacks can only be imported.

    Raises:
        KeyError: it is no node that packs know.
    """
    from .class_nodes.known_functions import FUNCTIONS
    from .shims.nodes import NODE_CLASS_MAPPINGS

    if name in NODE_CLASS_MAPPINGS.offered:
        return NODE_CLASS_MAPPINGS.own(name)
    if name in FUNCTIONS:
        return lacking_class(f"nodes.{name}")
    raise KeyError(name)


def node_or_missing(module: str, name: str) -> Any:
    """What a module of nodes has under a name: a node as a class; raises AttributeError."""
    if name.startswith("__"):
        raise AttributeError(name)
    try:
        return node_class(name)
    except KeyError:
        raise missing_attribute(module, name) from None
