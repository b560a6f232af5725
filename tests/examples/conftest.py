"""Small models with random weights under the names and in the layouts of published files."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.autoencoder import AutoencoderConfig, AutoencoderKL
from comfykernel_core_nodes.diffusion.clip_text import ClipTextConfig, ClipTextModel
from comfykernel_core_nodes.diffusion.controlnet_unet import ControlUNet, ControlUNetConfig
from comfykernel_core_nodes.diffusion.esrgan import Esrgan, EsrganConfig
from comfykernel_core_nodes.diffusion.flux import Flux, FluxConfig
from comfykernel_core_nodes.diffusion.mmdit import MMDiT, MMDiTConfig
from comfykernel_core_nodes.diffusion.t5_encoder import T5Config, T5Encoder
from comfykernel_core_nodes.diffusion.unet import UNet, UNetConfig

TEXT: Final = ClipTextConfig(width=64, layers=2, heads=1, intermediate=128)
PROJECTED: Final = replace(TEXT, projection_dim=64, activation="gelu")
SIZES: Final = 1536
REFINER_SIZES: Final = 1280

SD1: Final = UNetConfig(
    model_channels=32,
    num_res_blocks=(1, 1),
    channel_mult=(1, 2),
    transformer_depth=(1, 1),
    transformer_depth_output=(1, 1, 1, 1),
    context_dim=TEXT.width,
)
SDXL: Final = UNetConfig(
    model_channels=32,
    num_res_blocks=(1, 1, 1),
    channel_mult=(1, 2, 2),
    transformer_depth=(0, 1, 1),
    transformer_depth_output=(0, 0, 1, 1, 1, 1),
    context_dim=TEXT.width + PROJECTED.width,
    num_heads=-1,
    num_head_channels=64,
    use_linear_in_transformer=True,
    adm_in_channels=64 + SIZES,
)
REFINER: Final = replace(
    SDXL,
    num_res_blocks=(1, 1, 1, 1),
    channel_mult=(1, 2, 2, 2),
    transformer_depth=(0, 1, 1, 0),
    transformer_depth_output=(0, 0, 1, 1, 1, 1, 0, 0),
    context_dim=PROJECTED.width,
    adm_in_channels=64 + REFINER_SIZES,
)
SD3: Final = MMDiTConfig(width=64, blocks=2, hidden=128, positions=16, vector_width=TEXT.width + 1280)
FLUX: Final = FluxConfig(
    width=64, head_channels=32, hidden=128, double_blocks=1, single_blocks=1, context_width=64, vector_width=64
)
T5: Final = T5Config(width=64, hidden=64, layers=1, heads=1)
AUTOENCODER: Final = AutoencoderConfig(channels=32, channel_mult=(1, 1, 1, 1), num_res_blocks=1)
AUTOENCODER_16: Final = replace(AUTOENCODER, z_channels=16, quant_conv=False)

# Of SDXL's checkpoints, where the modules of a layer stand in the layout of open_clip.
OPEN_CLIP: Final = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}  # fmt: skip
OPEN_CLIP_OUTER: Final = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}


def weights_of(module: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """Random weights in the shapes of a module's, by the names of a checkpoint, in half precision as published."""
    return {prefix + name: _random(prefix + name, tensor.shape) for name, tensor in module.state_dict().items()}


def _random(name: str, shape: torch.Size) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
    if len(shape) > 1:
        return (values / math.sqrt(math.prod(shape[1:]))).half()
    return (1.0 + 0.1 * values if name.endswith(("weight", "scale")) else 0.1 * values).half()


def open_clip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A CLIP text model in the layout of open_clip: projections of attention stacked, the last one transposed."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name in OPEN_CLIP_OUTER:
            renamed[OPEN_CLIP_OUTER[name]] = tensor
        elif name == "text_projection.weight":
            renamed["text_projection"] = tensor.T.contiguous()
        elif ".self_attn.q_proj." in name:
            parts = [tensors[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            number, ending = name.split(".")[2], name.rpartition(".")[2]
            renamed[f"transformer.resblocks.{number}.attn.in_proj_{ending}"] = torch.cat(parts)
        elif "k_proj" not in name and "v_proj" not in name:
            _, _, number, module = name.split(".", 3)
            module, ending = module.rpartition(".")[::2]
            renamed[f"transformer.resblocks.{number}.{OPEN_CLIP[module]}.{ending}"] = tensor
    return renamed


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with a prefix before their names."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def hugging_face(model: ClipTextModel, prefix: str = "") -> dict[str, Tensor]:
    """A CLIP text model in the layout of files of their own."""
    return {
        prefix + (name if name.startswith("text_projection") else f"text_model.{name}"): tensor
        for name, tensor in weights_of(model).items()
    }


def sd1_checkpoint(unet: UNetConfig) -> dict[str, Tensor]:
    """UNet, autoencoder and CLIP-L."""
    return {
        **weights_of(UNet(unet), "model.diffusion_model."),
        **weights_of(AutoencoderKL(AUTOENCODER), "first_stage_model."),
        **weights_of(ClipTextModel(TEXT), "cond_stage_model.transformer.text_model."),
    }


def sdxl_checkpoint() -> dict[str, Tensor]:
    """UNet, autoencoder, CLIP-L and CLIP-G."""
    return {
        **weights_of(UNet(SDXL), "model.diffusion_model."),
        **weights_of(AutoencoderKL(AUTOENCODER), "first_stage_model."),
        **weights_of(ClipTextModel(TEXT), "conditioner.embedders.0.transformer.text_model."),
        **below("conditioner.embedders.1.model.", open_clip(weights_of(ClipTextModel(PROJECTED)))),
    }


def refiner_checkpoint() -> dict[str, Tensor]:
    """UNet, autoencoder and CLIP-G."""
    return {
        **weights_of(UNet(REFINER), "model.diffusion_model."),
        **weights_of(AutoencoderKL(AUTOENCODER), "first_stage_model."),
        **below("conditioner.embedders.0.model.", open_clip(weights_of(ClipTextModel(PROJECTED)))),
    }


def sd3_checkpoint() -> dict[str, Tensor]:
    """Transformer, autoencoder, both CLIP models; that of G has the published width of pooled vectors."""
    clip_g = replace(PROJECTED, projection_dim=1280)
    return {
        **weights_of(MMDiT(SD3), "model.diffusion_model."),
        **weights_of(AutoencoderKL(AUTOENCODER_16), "first_stage_model."),
        **hugging_face(ClipTextModel(TEXT), "text_encoders.clip_l.transformer."),
        **hugging_face(ClipTextModel(clip_g), "text_encoders.clip_g.transformer."),
    }


def lora() -> dict[str, Tensor]:
    """A low-rank change of a layer of the UNet, and one of the text model."""
    places = {
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q": 32,
        "lora_te_text_model_encoder_layers_0_self_attn_q_proj": 64,
    }
    tensors: dict[str, Tensor] = {}
    for name, width in places.items():
        tensors[f"{name}.lora_up.weight"] = 2 * _random(f"{name}.up.weight", torch.Size((width, 4)))
        tensors[f"{name}.lora_down.weight"] = 2 * _random(f"{name}.down.weight", torch.Size((4, width)))
        tensors[f"{name}.alpha"] = torch.tensor(4.0)
    return tensors


@pytest.fixture(scope="session")
def published_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models under the names that the example workflows have for them."""
    folder = tmp_path_factory.mktemp("models")
    files = {
        "checkpoints/v1-5-pruned-emaonly": sd1_checkpoint(SD1),
        "checkpoints/sd-v1-5-inpainting": sd1_checkpoint(replace(SD1, in_channels=9)),
        "checkpoints/sd_xl_base_1.0": sdxl_checkpoint(),
        "checkpoints/sd_xl_refiner_1.0": refiner_checkpoint(),
        "checkpoints/sd3_medium_incl_clips": sd3_checkpoint(),
        "loras/pixel_art": lora(),
        "controlnet/control_v11p_sd15_canny": weights_of(ControlUNet(ControlUNetConfig(SD1)), "control_model."),
        "diffusion_models/flux1-dev": weights_of(Flux(FLUX)),
        "text_encoders/t5xxl_fp16": weights_of(T5Encoder(T5)),
        "text_encoders/clip_l": hugging_face(ClipTextModel(TEXT)),
        "vae/ae": weights_of(AutoencoderKL(AUTOENCODER_16)),
    }
    for name, tensors in files.items():
        path = folder / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)
    upscaler = folder / "upscale_models/RealESRGAN_x4plus.pth"
    upscaler.parent.mkdir()
    torch.save({"params_ema": weights_of(Esrgan(EsrganConfig(width=8, growth=4, blocks=1)))}, upscaler)
    return folder
