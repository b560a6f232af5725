"""Nodes for images: files, sizes, colours."""

from __future__ import annotations

from . import (
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
    shaders,
    sizes,
    stitching,
    transform,
)

MODULES = (
    transform,
    load,
    save,
    batches,
    sizes,
    stitching,
    filters,
    quantization,
    morphology,
    canny,
    comparison,
    resize_modes,
    boxes,
    colour_transfer,
    cropping,
    export,
    histograms,
    painting,
    datasets,
    shaders,
)
