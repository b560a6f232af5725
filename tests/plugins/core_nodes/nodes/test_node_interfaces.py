"""What clients see of the nodes: ids, order of inputs and outputs, places in the menus."""

from __future__ import annotations

import pytest

from comfykernel_core_nodes.nodes.pack import core_pack
from comfykernel_sdk.nodes import InputSpec

NODES = core_pack().nodes

# id: (category, title, inputs in order, outputs in order)
INTERFACES: dict[str, tuple[str, str, str, str]] = {
    "CheckpointLoaderSimple": ("loaders", "Load Checkpoint", "ckpt_name", "MODEL CLIP VAE"),
    "VAELoader": ("loaders", "Load VAE", "vae_name", "VAE"),
    "LoraLoader": ("loaders", "Load LoRA", "model clip lora_name strength_model strength_clip", "MODEL CLIP"),
    "CLIPTextEncode": ("conditioning", "CLIP Text Encode (Prompt)", "text clip", "CONDITIONING"),
    "CLIPSetLastLayer": ("conditioning", "CLIP Set Last Layer", "clip stop_at_clip_layer", "CLIP"),
    "KSampler": (
        "sampling",
        "KSampler",
        "model seed steps cfg sampler_name scheduler positive negative latent_image denoise",
        "LATENT",
    ),
    "KSamplerAdvanced": (
        "sampling",
        "KSampler (Advanced)",
        (
            "model add_noise noise_seed steps cfg sampler_name scheduler positive negative latent_image "
            "start_at_step end_at_step return_with_leftover_noise"
        ),
        "LATENT",
    ),
    "VAEDecode": ("latent", "VAE Decode", "samples vae", "IMAGE"),
    "VAEEncode": ("latent", "VAE Encode", "pixels vae", "LATENT"),
    "EmptyLatentImage": ("latent", "Empty Latent Image", "width height batch_size", "LATENT"),
    "LatentUpscale": ("latent", "Upscale Latent", "samples upscale_method width height crop", "LATENT"),
    "RepeatLatentBatch": ("latent/batch", "Repeat Latent Batch", "samples amount", "LATENT"),
    "LoadImage": ("image", "Load Image", "image", "IMAGE MASK"),
    "SaveImage": ("image", "Save Image", "images filename_prefix prompt extra_pnginfo", ""),
    "PreviewImage": ("image", "Preview Image", "images prompt extra_pnginfo", ""),
    "EmptyImage": ("image", "EmptyImage", "width height batch_size color", "IMAGE"),
    "ImageScale": ("image/upscaling", "Upscale Image", "image upscale_method width height crop", "IMAGE"),
    "ImageScaleBy": ("image/upscaling", "Upscale Image By", "image upscale_method scale_by", "IMAGE"),
    "ImageInvert": ("image", "Invert Image", "image", "IMAGE"),
    "ImageBatch": ("image", "Batch Images", "image1 image2", "IMAGE"),
}


@pytest.mark.parametrize("id", INTERFACES)
def test_interface(id: str) -> None:
    spec = NODES[id].spec
    inputs, outputs = " ".join(i.name for i in spec.inputs), " ".join(o.type for o in spec.outputs)
    assert (spec.category, spec.display_name or spec.id, inputs, outputs) == INTERFACES[id]
    assert spec.python_module == "nodes"


def given(id: str, name: str) -> InputSpec:
    found = NODES[id].spec.input(name)
    assert found is not None
    return found


def test_names_of_samplers_and_schedules() -> None:
    samplers, schedules = given("KSampler", "sampler_name").choices, given("KSampler", "scheduler").choices
    assert samplers is not None
    assert (len(samplers), samplers[0], samplers[-1]) == (42, "euler", "uni_pc_bh2")
    assert schedules is not None
    assert (len(schedules), schedules[0], schedules[6]) == (9, "simple", "normal")
    assert given("KSamplerAdvanced", "sampler_name").choices == samplers


def test_sockets_with_a_tooltip_have_options_and_bare_ones_have_none() -> None:
    assert given("ImageInvert", "image").options is None
    assert given("KSampler", "model").options == {"tooltip": "The network that removes the noise."}
    assert given("KSamplerAdvanced", "model").options is None


def test_ranges_and_defaults() -> None:
    seed = given("KSampler", "seed").options or {}
    assert (seed["max"], seed["control_after_generate"]) == (2**64 - 1, True)
    cfg = given("KSampler", "cfg").options or {}
    assert {key: cfg[key] for key in ("default", "min", "max", "step", "round")} == {
        "default": 8.0, "min": 0.0, "max": 100.0, "step": 0.1, "round": 0.01
    }  # fmt: skip
    assert (given("EmptyImage", "color").options or {})["display"] == "color"


def test_files_are_listed_by_the_storage() -> None:
    sources = {(id, i.name): (i.source, i.choices) for id, d in NODES.items() for i in d.spec.inputs if i.source}
    assert (
        sources.items()
        >= {
            ("CheckpointLoaderSimple", "ckpt_name"): ("checkpoints", []),
            ("VAELoader", "vae_name"): ("vae", ["taesd", "taesdxl", "taesd3", "taef1", "pixel_space"]),
            ("UNETLoader", "unet_name"): ("diffusion_models", []),
            ("DiffusersLoader", "model_path"): ("diffusers", []),
            ("LoraLoader", "lora_name"): ("loras", []),
            ("LoraLoaderModelOnly", "lora_name"): ("loras", []),
            ("LoadImage", "image"): ("input", []),
            ("LoadImageMask", "image"): ("input", []),
        }.items()
    )


def test_every_node_tells_what_it_does() -> None:
    assert [id for id, definition in NODES.items() if not definition.spec.description] == []
