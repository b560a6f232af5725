"""Models, tokenizers and sampling of latent diffusion, without nodes, kernel or HTTP.

What most programs need can be imported from here; the modules have the rest.
"""

from __future__ import annotations

from .checkpoints import Checkpoint, load_checkpoint, load_diffusion_model, load_text_encoder, load_vae
from .conditioning import Conditioning
from .control_loading import load_control_net
from .diffusion_model import DiffusionModel
from .errors import CheckpointError, DiffusionError
from .guiders import basic_guider, cfg_guider, dual_cfg_guider
from .latent_preview import preview_image
from .lora import apply_lora, load_lora
from .memory import DevicePolicy, configure_memory
from .samplers import SAMPLERS
from .sampling import sample, sample_latent
from .schedules import SCHEDULES
from .text_encoding import TextEncoder, encode_prompt
from .upscalers import load_upscaler
from .vision_encoding import load_vision_encoder

__all__ = [
    "SAMPLERS",
    "SCHEDULES",
    "Checkpoint",
    "CheckpointError",
    "Conditioning",
    "DevicePolicy",
    "DiffusionError",
    "DiffusionModel",
    "TextEncoder",
    "apply_lora",
    "basic_guider",
    "cfg_guider",
    "configure_memory",
    "dual_cfg_guider",
    "encode_prompt",
    "load_checkpoint",
    "load_control_net",
    "load_diffusion_model",
    "load_lora",
    "load_text_encoder",
    "load_upscaler",
    "load_vae",
    "load_vision_encoder",
    "preview_image",
    "sample",
    "sample_latent",
]
