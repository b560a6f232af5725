"""The pack of core nodes: which modules hold nodes."""

from __future__ import annotations

from comfykernel_sdk.nodes import NodePack

from .conditioning import areas, mixing, prompts, texts_of_families, texts_of_parts
from .control import control_nets, gligen
from .control import model_patches as control_patches
from .editing import film_latents, inpainting, lotus, novel_views, references, stable_cascade, upscaling
from .guidance import (
    combining,
    noise_scale,
    operations,
    perpendicular,
    scales,
    soft_masks,
    step_caches,
    weakened,
    windows,
)
from .hooks import conditions, creation, scheduling
from .image import (
    batches,
    boxes,
    canny,
    colour_transfer,
    comparison,
    cropping,
    datasets,
    export,
    filters,
    histograms,
    load,
    morphology,
    painting,
    quantization,
    resize_modes,
    save,
    sizes,
    stitching,
    transform,
)
from .latent import arithmetic, empty, files, joining, pixels, shapes, tiled, turning
from .loaders import checkpoint_forms, checkpoints, parts
from .logic import cameras, choices, lists, loops, math_expression, preview, primitives
from .mask import channels, compositing, editing, pasting
from .merging import blocks_of_families, loras, saving, whole_models
from .model_patches import attention, chroma_radiance, compilation, hypernetworks, positions, unet_features
from .model_sampling import flows, parametrisations, precision
from .sampling import custom, guiders, ksampler, noise, published_schedulers, samplers, schedulers, sigmas
from .text import patterns, strings, structured, text_files
from .vision import encoders, photo_maker, styles

MODULES = (
    checkpoints, prompts, ksampler,
    checkpoint_forms, parts,
    whole_models, saving, loras,
    areas, mixing, texts_of_parts, texts_of_families,
    pixels, shapes,
    transform, load, save, channels,
    hypernetworks, unet_features, attention, compilation, positions, chroma_radiance, creation, scheduling, conditions,
    batches, sizes, stitching, filters, quantization, morphology, canny, compositing, pasting, editing,
    arithmetic, joining, turning,
    control_nets, gligen, encoders, styles, inpainting, references, upscaling, novel_views, stable_cascade,
    film_latents, empty, tiled, files, control_patches,
    lotus, photo_maker,
    strings, patterns, structured, primitives, preview, choices,
    combining, scales, perpendicular, weakened, soft_masks, step_caches, windows, operations, noise_scale,
    schedulers, published_schedulers, sigmas, samplers, noise, guiders, custom, parametrisations, flows, precision,
    comparison, resize_modes, lists, math_expression, text_files,
    boxes, colour_transfer, cropping, export, histograms, painting, cameras, datasets, loops,
)  # fmt: skip
"""In the order in which clients list the nodes."""


def core_pack() -> NodePack:
    """All core nodes."""
    pack = NodePack("core")
    for module in MODULES:
        pack.add_module(module)
    for definition in blocks_of_families.definitions():
        pack.add(definition)
    return pack
