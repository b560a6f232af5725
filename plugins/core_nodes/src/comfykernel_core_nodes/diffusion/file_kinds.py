"""What a model file is, in words: for errors about a file in the wrong place."""

from __future__ import annotations

from typing import Final

from comfykernel_core_nodes.diffusion.model_header import Header

# A part of a tensor's name -> what the file is. The first that is found decides.
_SIGNS: Final = (
    ("control_model.", "a ControlNet"),
    ("controlnet_", "a ControlNet"),
    ("input_hint_block.", "a ControlNet"),
    ("lora_up.", "a LoRA"),
    ("lora_down.", "a LoRA"),
    ("lora_A.", "a LoRA"),
    (".hada_w1_a", "a LoRA (LoHa)"),
    (".lokr_w", "a LoRA (LoKr)"),
    ("string_to_param", "a textual inversion"),
    ("emb_params", "a textual inversion"),
    ("model.diffusion_model.", "a checkpoint"),
    ("input_blocks.0.0.weight", "a diffusion model (UNet)"),
    ("double_blocks.0.", "a diffusion model (Flux)"),
    ("joint_blocks.0.", "a diffusion model (SD3)"),
    ("position_net.", "a GLIGEN model"),
    ("visual_projection", "a CLIP vision model"),
    ("vision_model.", "a CLIP vision model"),
    ("text_model.", "a CLIP text model"),
    ("transformer.resblocks.", "a CLIP text model"),
    ("SelfAttention.q.", "a T5 text model"),
    ("decoder.mid.", "an autoencoder"),
    ("decoder.mid_block.", "an autoencoder"),
    ("RDB1.conv1", "an upscaling model"),
    ("redux_up.", "a style model"),
    ("body.0.resnets", "a T2I adapter"),
    ("body.0.block1.", "a T2I adapter"),
    ("body.0.body.0.block1.", "a T2I adapter"),
    ("adapter.body.", "a T2I adapter"),
    ("conv.0.weight", "a tiny autoencoder"),
)


def described(header: Header) -> str:
    """A few words about a file: what it looks like, and how many tensors it has."""
    count = len(header.shapes)
    kind = next((words for sign, words in _SIGNS if any(sign in name for name in header.shapes)), "of an unknown kind")
    return f"{kind} with {count} tensors" if count else "a file without tensors"
