"""The demo model's language, its pictures, and the detector that reads them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy
import pytest
from PIL import Image, ImageDraw

from comfykernel_demo_model.detector import Detection, detect
from comfykernel_demo_model.drawing import BACKGROUNDS, PALETTE, PLACES, SHAPES, Scene, all_scenes, draw, phrase
from comfykernel_demo_model.evaluate import contact_sheet, report, unseen_scenes

SCENE = Scene("orange", "star", "on the left", "blue")


def seen(scene: Scene) -> Detection:
    return Detection(scene.colour, scene.shape, scene.place, scene.background)


def test_prompt_is_a_sentence() -> None:
    assert SCENE.prompt == "an orange star on the left, blue background"


def test_scenes_are_different_and_never_invisible() -> None:
    scenes = all_scenes()
    assert len({scene.prompt for scene in scenes}) == len(scenes) == 1290
    assert all(scene.colour != scene.background for scene in scenes)


def test_enough_scenes_of_every_kind_are_kept_from_training() -> None:
    held_out = unseen_scenes(200, seed=1)
    assert all(scene.held_out for scene in held_out)
    trained = [scene for scene in all_scenes() if not scene.held_out]
    for part in ("colour", "shape", "place", "background"):
        assert {getattr(scene, part) for scene in held_out} == {getattr(scene, part) for scene in trained}


def test_more_unseen_scenes_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="kept from training"):
        unseen_scenes(1000, seed=1)


def test_short_phrases_leave_out_only_what_is_the_default() -> None:
    rng = random.Random(0)
    for scene in all_scenes():
        for text in {phrase(scene, rng) for _ in range(5)}:
            assert f"{scene.colour} {scene.shape}" in text
            assert scene.place.split()[-1] in text or scene.place == "in the center"
            assert f"{scene.background} background" in text or scene.background == "white"


def test_pictures_follow_from_scene_and_random_numbers() -> None:
    first, again = (draw(SCENE, 64, random.Random(3)).tobytes() for _ in range(2))
    assert first == again
    assert first != draw(SCENE, 64, random.Random(4)).tobytes()
    assert draw(SCENE, 64, random.Random(3)).size == (64, 64)


def test_unknown_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="no shape 'cube'; known: circle"):
        draw(Scene("red", "cube", "on the left", "blue"), 64, random.Random(0))


@pytest.mark.parametrize("side", [128, 256])
@pytest.mark.parametrize("shape", SHAPES)
def test_detector_reads_drawings(shape: str, side: int) -> None:
    rng = random.Random(shape)
    scenes = [scene for scene in all_scenes() if scene.shape == shape]
    for scene in rng.sample(scenes, 25):
        assert detect(draw(scene, side, rng)) == seen(scene)


def test_detector_reads_noisy_drawings() -> None:
    rng = random.Random(7)
    noise = numpy.random.default_rng(7)
    for scene in rng.sample(all_scenes(), 20):
        pixels = numpy.asarray(draw(scene, 256, rng)) + noise.normal(0, 8, (256, 256, 3))
        assert detect(Image.fromarray(pixels.clip(0, 255).astype(numpy.uint8))) == seen(scene)


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_detector_sees_nothing_on_a_plain_picture(background: str) -> None:
    picture = Image.new("RGB", (256, 256), PALETTE[background])
    assert detect(picture) == Detection("", "", "", background)


def test_detector_knows_no_shape_in_two_objects() -> None:
    both = Image.new("RGB", (256, 256), PALETTE["white"])
    for place in ("on the left", "on the right"):
        picture = draw(Scene("red", "square", place, "white"), 256, random.Random(0))
        both.paste(picture, mask=picture.convert("L").point(lambda value: 255 * (value < 200)))
    assert detect(both).colour == "red"
    assert detect(both).shape == ""


def test_report_counts_what_is_right() -> None:
    scenes = [SCENE, Scene("red", "ring", "at the top", "gray")]
    wrong = Detection("red", "circle", "at the top", "gray")
    assert report(scenes, [seen(SCENE), wrong]) == {
        "colour": 100.0,
        "shape": 50.0,
        "place": 100.0,
        "background": 100.0,
        "colour and shape": 50.0,
        "everything": 50.0,
    }


def test_contact_sheet_has_room_for_all_pictures() -> None:
    sheet = contact_sheet([draw(SCENE, 64, random.Random(0))] * 5, ["one"] * 5, columns=4)
    assert sheet.width == 256
    assert sheet.height > 128


def test_places_are_inside_the_picture() -> None:
    for place in PLACES:
        edge = numpy.asarray(draw(Scene("black", "cross", place, "white"), 256, random.Random(1)).convert("L"))
        assert min(edge[0].min(), edge[-1].min(), edge[:, 0].min(), edge[:, -1].min()) > 200


def outlined(radius: Callable[[float], float]) -> Image.Image:
    """A red outline on white: `radius` gives pixels for each angle."""
    picture = Image.new("RGB", (256, 256), PALETTE["white"])
    angles = [turn * math.tau / 360 for turn in range(360)]
    corners = [(128 + radius(angle) * math.cos(angle), 128 + radius(angle) * math.sin(angle)) for angle in angles]
    ImageDraw.Draw(picture).polygon(corners, fill=PALETTE["red"])
    return picture


def test_detector_forgives_a_wavy_outline() -> None:
    assert detect(outlined(lambda angle: 50 + 2.5 * math.sin(9 * angle))).shape == "circle"


@pytest.mark.parametrize(
    "radius",
    [
        lambda angle: 55 / (abs(math.cos(angle)) ** 3.2 + abs(math.sin(angle)) ** 3.2) ** (1 / 3.2),
        lambda angle: 45 + 18 * math.cos(4 * (angle - 0.4)),
        lambda angle: 45 + 18 * math.cos(2 * angle),
    ],
    ids=["between circle and square", "turned cross", "bone"],
)
def test_detector_knows_no_shape_in_other_outlines(radius: Callable[[float], float]) -> None:
    found = detect(outlined(radius))
    assert (found.colour, found.shape) == ("red", "")
