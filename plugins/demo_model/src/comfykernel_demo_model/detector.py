"""A classical detector for the demo model's pictures: colours by the nearest palette entry, shapes by their contour.

Nothing is learned. A contour is the farthest filled point in each direction from the middle of the shape; its
relative lengths tell a circle from a square, and the filling of the middle tells a ring from a circle. A shape is known
when its contour is clearly nearer than all others: an outline between a circle and a square is neither, while the long
arms of a star may be a little off.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

import numpy
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from comfykernel_demo_model.drawing import BACKGROUNDS, COLOURS, PALETTE, PLACES, SHAPES, Scene, draw

Floats = NDArray[numpy.float64]
Mask = NDArray[numpy.bool_]

DIRECTIONS = 72

# Directions to each side over which a contour is averaged, and the part of the picture's side over which the mask's
# rim is: specks and frayed edges do not make an outline.
SMOOTH_DIRECTIONS = 2
SMOOTH_SHARE = 1 / 28

# Largest root mean square distance between a contour and the nearest known one, in units of its mean radius, and as a
# part of the distance to the second nearest. Drawn shapes stay below 0.05; circle and square, the nearest two, are 0.1
# apart, all others at least 0.2.
CONTOUR_LIMIT = 0.15
CLEARLY_NEARER = 0.5

# Share of the picture that a shape must at least fill.
SMALLEST_AREA = 0.01

# Side at which the known contours are drawn.
TEMPLATE_SIDE = 256


@dataclass(frozen=True, slots=True)
class Detection:
    """What is seen. An empty string means: nothing known."""

    colour: str
    shape: str
    place: str
    background: str


def detect(picture: Image.Image) -> Detection:
    """The colour, shape and place of the object in an RGB picture, and the colour around it."""
    pixels = numpy.asarray(picture.convert("RGB"), dtype=numpy.float64)
    rim = numpy.concatenate([pixels[:4].reshape(-1, 3), pixels[-4:].reshape(-1, 3)])
    background = _nearest(numpy.median(rim, axis=0), BACKGROUNDS)
    base = numpy.array(PALETTE[background], dtype=numpy.float64)
    distance = numpy.linalg.norm(pixels - base, axis=2)
    strong = distance > max(60.0, 0.75 * float(numpy.quantile(distance, 0.995)))
    if strong.mean() < SMALLEST_AREA / 2:
        return Detection("", "", "", background)
    colour = _nearest(numpy.median(pixels[strong], axis=0), [name for name in COLOURS if name != background])
    reach = float(numpy.linalg.norm(numpy.array(PALETTE[colour]) - base))
    mask = distance > reach / 2
    if mask.mean() < SMALLEST_AREA:
        return Detection(colour, "", "", background)
    return Detection(colour, _shape(mask), _place(mask), background)


def _nearest(colour: Floats, names: list[str] | tuple[str, ...]) -> str:
    return min(names, key=lambda name: float(numpy.linalg.norm(colour - numpy.array(PALETTE[name]))))


def _shape(mask: Mask) -> str:
    contour, filled = _contour(_smoothed(mask))
    errors = {
        shape: float(numpy.sqrt(numpy.mean((contour - known) ** 2)))
        for shape, (known, known_filled) in _known_contours().items()
        if filled == known_filled
    }
    nearest, *others = sorted(errors, key=lambda shape: errors[shape])
    limit = min([CONTOUR_LIMIT, *(CLEARLY_NEARER * errors[shape] for shape in others)])
    return nearest if errors[nearest] < limit else ""


def _smoothed(mask: Mask) -> Mask:
    """The mask without specks: each pixel as most of those around it."""
    width = 2 * round(SMOOTH_SHARE * mask.shape[0] / 2) + 1
    picture = Image.fromarray(mask.astype(numpy.uint8) * 255).filter(ImageFilter.MedianFilter(width))
    return numpy.asarray(picture) > 127


def _contour(mask: Mask) -> tuple[Floats, bool]:
    """Relative radius in each direction from the centre of mass, and whether that centre is filled."""
    rows, columns = numpy.nonzero(mask)
    y, x = rows.mean(), columns.mean()
    radii = numpy.hypot(rows - y, columns - x)
    sector = (numpy.arctan2(rows - y, columns - x) / (2 * numpy.pi) * DIRECTIONS).round().astype(int) % DIRECTIONS
    farthest = numpy.zeros(DIRECTIONS)
    numpy.maximum.at(farthest, sector, radii)
    mean = float(farthest.mean())
    centre = radii < 0.3 * mean
    filled = int(centre.sum()) > 0.5 * numpy.pi * (0.3 * mean) ** 2
    turns = range(-SMOOTH_DIRECTIONS, SMOOTH_DIRECTIONS + 1)
    smooth: Floats = numpy.mean([numpy.roll(farthest, turn) for turn in turns], axis=0)
    return smooth / max(mean, 1.0), filled


@cache
def _known_contours() -> dict[str, tuple[Floats, bool]]:
    known = {}
    for shape in SHAPES:
        scene = Scene("black", shape, "in the center", "white")
        pixels = numpy.asarray(draw(scene, TEMPLATE_SIDE, random.Random(0)).convert("L"))
        known[shape] = _contour(_smoothed(pixels < 128))
    return known


def _place(mask: Mask) -> str:
    """The place whose centre is nearest to the middle of the object's bounding box."""
    rows, columns = numpy.nonzero(mask)
    y = (rows.min() + rows.max() + 1) / 2 / mask.shape[0]
    x = (columns.min() + columns.max() + 1) / 2 / mask.shape[1]
    return min(PLACES, key=lambda name: float(numpy.hypot(x - PLACES[name][0], y - PLACES[name][1])))
