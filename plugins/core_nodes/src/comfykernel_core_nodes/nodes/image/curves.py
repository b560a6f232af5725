"""Curves that are drawn in the page, as tables of values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from comfykernel_sdk.errors import BadInput

TABLE_SIZE: Final = 256
"""Values of a curve's table; that of 0 comes first and that of 1 last."""

LINEAR: Final = "linear"

STEEPEST: Final = 3.0
"""Length of the two tangents of a piece, in secants, up to which it rises or falls throughout."""

Points = Sequence[tuple[float, float]]


def curve_points(curve: object) -> list[tuple[float, float]]:
    """The points of a curve, from left to right.

    Raises:
        BadInput: it has none, they are no pairs of numbers, or two stand above each other.
    """
    found = curve.get("points") if isinstance(curve, Mapping) else curve
    if not isinstance(found, list | tuple) or not found or not all(_is_point(point) for point in found):
        raise no_curve(curve)
    points = sorted((float(x), float(y)) for x, y in found)
    if any(before[0] == after[0] for before, after in pairwise(points)):
        raise no_curve(curve)
    return points


def curve_table(curve: object, size: int = TABLE_SIZE) -> NDArray[np.float32]:
    """Values [size] of a curve, evenly spaced from 0 to 1; before the first point and after the last one it is flat.

    Raises:
        BadInput: it is no curve.
    """
    points = curve_points(curve)
    places = np.linspace(0.0, 1.0, size)
    x, y = (np.array(values) for values in zip(*points, strict=True))
    straight = isinstance(curve, Mapping) and curve.get("interpolation") == LINEAR
    if straight or len(points) < 3:
        flat: NDArray[np.float64] = np.interp(places, x, y)
        return flat.astype(np.float32)
    return _cubic(places.clip(x[0], x[-1]), x, y).astype(np.float32)


def _cubic(places: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cubic Hermite pieces through points, which rise and fall only where the points do."""
    tangents = np.array(monotone_tangents(list(zip(x, y, strict=True))))
    piece = np.clip(np.searchsorted(x, places, side="right") - 1, 0, len(x) - 2)
    width = x[piece + 1] - x[piece]
    t = (places - x[piece]) / width
    start, end = y[piece], y[piece + 1]
    rise, fall = tangents[piece] * width, tangents[piece + 1] * width
    result: NDArray[np.float64] = (
        start * (1.0 + 2.0 * t) * (1.0 - t) ** 2
        + rise * t * (1.0 - t) ** 2
        + end * t**2 * (3.0 - 2.0 * t)
        + fall * t**2 * (t - 1.0)
    )
    return result


def monotone_tangents(points: Points) -> list[float]:
    """A slope at each of two or more points, for a monotone cubic (Fritsch and Carlson 1980, doi:10.1137/0717021)."""
    secants = [(after[1] - before[1]) / (after[0] - before[0]) for before, after in pairwise(points)]
    inner = [(a + b) / 2.0 if a * b > 0.0 else 0.0 for a, b in pairwise(secants)]
    tangents = [secants[0], *inner, secants[-1]]
    for i, secant in enumerate(secants):
        if secant == 0.0:
            tangents[i] = tangents[i + 1] = 0.0
            continue
        length = math.hypot(tangents[i], tangents[i + 1]) / abs(secant)
        if length > STEEPEST:
            tangents[i] *= STEEPEST / length
            tangents[i + 1] *= STEEPEST / length
    return tangents


def _is_point(point: object) -> bool:
    if not isinstance(point, list | tuple) or len(point) != 2:
        return False
    return all(isinstance(each, int | float) and math.isfinite(each) for each in point)


def no_curve(curve: object) -> BadInput:
    """The error for a value that is no curve."""
    return BadInput(
        f"{str(curve)[:200]} is no curve.", type="invalid_curve",
        hint="A curve has the member points: pairs [x, y] of 0 to 1, from left to right.",
    )  # fmt: skip
