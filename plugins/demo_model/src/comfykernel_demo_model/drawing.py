"""The demo model's language and its pictures: a coloured shape at a place on a plain background.

A scene is what a prompt says; `draw` turns it into the picture that the model learns. Both depend on nothing but
their arguments.
"""

from __future__ import annotations

import math
import random
import zlib
from dataclasses import dataclass

from PIL import Image, ImageDraw

RGB = tuple[int, int, int]

PALETTE: dict[str, RGB] = {
    "red": (220, 35, 35),
    "orange": (250, 140, 20),
    "yellow": (250, 225, 50),
    "green": (35, 160, 70),
    "blue": (35, 75, 220),
    "purple": (145, 50, 185),
    "white": (248, 248, 248),
    "black": (18, 18, 18),
    "gray": (128, 128, 128),
}
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
BACKGROUNDS = ("white", "black", "gray", "blue", "green", "yellow")
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")

# Centre of the shape as a fraction of width and height.
PLACES: dict[str, tuple[float, float]] = {
    "on the left": (0.28, 0.5),
    "on the right": (0.72, 0.5),
    "at the top": (0.5, 0.28),
    "at the bottom": (0.5, 0.72),
    "in the center": (0.5, 0.5),
}
DEFAULT_PLACE = "in the center"
DEFAULT_BACKGROUND = "white"

# Half the extent of a shape, as a fraction of the side, and how far its centre may lie beside its place.
RADIUS = (0.19, 0.23)
SHIFT = 0.02

# Pictures are drawn this many times larger and reduced, which smooths the edges.
SUPERSAMPLING = 4

# One scene in so many is kept out of the training data.
HELD_OUT_ONE_IN = 6


@dataclass(frozen=True, slots=True)
class Scene:
    """One coloured shape at a place on a background of another colour."""

    colour: str
    shape: str
    place: str
    background: str

    @property
    def prompt(self) -> str:
        """The full sentence, for example `a red circle on the left, blue background`."""
        return f"{article(self.colour)} {self.colour} {self.shape} {self.place}, {self.background} background"

    @property
    def held_out(self) -> bool:
        """Whether the scene is kept for measuring and never trained on."""
        return zlib.crc32(self.prompt.encode()) % HELD_OUT_ONE_IN == 0


def article(word: str) -> str:
    """`an` before a vowel, otherwise `a`."""
    return "an" if word[0] in "aeiou" else "a"


def all_scenes() -> list[Scene]:
    """Every scene that the language can express, in a fixed order."""
    return [
        Scene(colour, shape, place, background)
        for colour in COLOURS
        for shape in SHAPES
        for place in PLACES
        for background in BACKGROUNDS
        if colour != background
    ]


def phrase(scene: Scene, rng: random.Random) -> str:
    """One of the ways to say the scene. A short form leaves out what is the default."""
    background = f"{scene.background} background"
    with_article = f"{article(scene.colour)} {scene.colour} {scene.shape}"
    bare_place = scene.place.split()[-1]
    forms = [
        scene.prompt,
        f"{scene.colour} {scene.shape} {scene.place}, {background}",
        f"{scene.colour} {scene.shape}, {bare_place}, {background}",
        f"{with_article} {scene.place} on {article(scene.background)} {background}",
    ]
    if scene.place == DEFAULT_PLACE:
        forms.append(f"{with_article}, {background}")
        if scene.background == DEFAULT_BACKGROUND:
            forms += [with_article] * 4
    if scene.background == DEFAULT_BACKGROUND:
        forms.append(f"{with_article} {scene.place}")
    return scene.prompt if rng.random() < 0.5 else rng.choice(forms)


def draw(scene: Scene, side: int, rng: random.Random) -> Image.Image:
    """RGB picture of side x side pixels; size and position vary a little with the random numbers."""
    large = side * SUPERSAMPLING
    picture = Image.new("RGB", (large, large), PALETTE[scene.background])
    x, y = (large * (part + rng.uniform(-SHIFT, SHIFT)) for part in PLACES[scene.place])
    _draw_shape(ImageDraw.Draw(picture), scene, (x, y), large * rng.uniform(*RADIUS))
    return picture.reduce(SUPERSAMPLING)


def _draw_shape(pen: ImageDraw.ImageDraw, scene: Scene, centre: tuple[float, float], radius: float) -> None:
    fill = PALETTE[scene.colour]
    match scene.shape:
        case "circle":
            pen.ellipse(_box(centre, radius), fill=fill)
        case "ring":
            pen.ellipse(_box(centre, radius), fill=fill)
            pen.ellipse(_box(centre, radius * 0.52), fill=PALETTE[scene.background])
        case "square":
            pen.rectangle(_box(centre, radius * 0.88), fill=fill)
        case "cross":
            x, y = centre
            arm, half = radius * 1.02, radius * 0.34
            pen.rectangle((x - arm, y - half, x + arm, y + half), fill=fill)
            pen.rectangle((x - half, y - arm, x + half, y + arm), fill=fill)
        case "triangle":
            x, y = centre
            pen.polygon(_points((x, y + radius * 0.2), [radius * 1.2], 3), fill=fill)
        case "star":
            pen.polygon(_points(centre, [radius * 1.2, radius * 0.5], 10), fill=fill)
        case unknown:
            raise ValueError(f"no shape {unknown!r}; known: {', '.join(SHAPES)}")


def _box(centre: tuple[float, float], radius: float) -> tuple[float, float, float, float]:
    x, y = centre
    return x - radius, y - radius, x + radius, y + radius


def _points(centre: tuple[float, float], radii: list[float], count: int) -> list[tuple[float, float]]:
    """Corners around the centre, the first one straight up, at the given radii in turn."""
    x, y = centre
    angles = [2 * math.pi * index / count for index in range(count)]
    return [
        (x + radii[index % len(radii)] * math.sin(angle), y - radii[index % len(radii)] * math.cos(angle))
        for index, angle in enumerate(angles)
    ]
