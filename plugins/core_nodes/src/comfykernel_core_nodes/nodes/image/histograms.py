"""Nodes for histograms and curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, TypeAlias

import torch
from torch import Tensor

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.image.curves import curve_points, no_curve
from comfykernel_sdk.json_types import Json
from comfykernel_sdk.nodes import Result
from comfykernel_sdk.sockets import Image, Out, Socket

histogram_node = extra_node("nodes_images")
curve_node = extra_node("nodes_curve")

BINS: Final = 256

LUMINANCE: Final = (0.2126, 0.7152, 0.0722)
"""Weights of red, green and blue (ITU-R BT.709, 3.2)."""

STRAIGHT: Final[Json] = {"points": [[0, 0], [1, 1]], "interpolation": "monotone_cubic"}

Histogram: TypeAlias = Annotated[list[int], Socket("HISTOGRAM")]


def counts(values: Tensor) -> Tensor:
    """How many values of 0..1 fall on each of 256 levels."""
    levels = (values.flatten().clamp(0.0, 1.0) * (BINS - 1)).round().long()
    return torch.bincount(levels, minlength=BINS)


@histogram_node("ImageHistogram", category="image", display_name="Image Histogram")
def image_histogram(
    image: Image,
) -> tuple[
    Annotated[Histogram, Out("rgb")],
    Annotated[Histogram, Out("luminance")],
    Annotated[Histogram, Out("red")],
    Annotated[Histogram, Out("green")],
    Annotated[Histogram, Out("blue")],
]:
    """Count the levels of the first image, in 256 steps: of each colour, of their mean, and of the brightness."""
    picture = image[0, ..., :3]
    picture = picture.expand(*picture.shape[:2], 3)
    red, green, blue = picture.unbind(-1)
    luminance = picture @ torch.tensor(LUMINANCE).to(picture)
    return tuple(counts(each).tolist() for each in (picture.mean(-1), luminance, red, green, blue))  # type: ignore[return-value]


@curve_node("CurveEditor", category="utils", display_name="Curve Editor")
def curve_editor(
    curve: Annotated[object, Socket("CURVE", options={"default": STRAIGHT})],
    histogram: Annotated[object, Socket("HISTOGRAM")] = None,
) -> Result[Annotated[object, Socket("CURVE"), Out("curve")]]:
    """A curve that is drawn in the page, over a histogram.

    Raises:
        BadInput: it has no points, or they do not go from left to right.
    """
    if not isinstance(curve, Mapping) or [x for x, _ in curve_points(curve)] != [float(x) for x, _ in curve["points"]]:
        raise no_curve(curve)
    return Result(curve, ui={"histogram": [histogram]} if histogram is not None else None)
