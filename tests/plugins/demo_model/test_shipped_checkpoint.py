"""The checkpoint that is shipped: its size, its layout, and that it draws what a prompt says."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open

from comfykernel_core_nodes.diffusion.autoencoder import AutoencoderKL, autoencoder_config_from
from comfykernel_core_nodes.diffusion.clip_text import ClipTextModel, clip_text_config_from
from comfykernel_core_nodes.diffusion.unet import UNet, unet_config_from
from comfykernel_demo_model import CHECKPOINTS
from comfykernel_demo_model.detector import detect
from comfykernel_demo_model.drawing import Scene
from comfykernel_demo_model.evaluate import generate
from comfykernel_demo_model.networks import FAMILY, Networks, load_checkpoint

CHECKPOINT = CHECKPOINTS / "demo.safetensors"


@pytest.fixture(scope="module")
def shipped() -> Networks:
    return load_checkpoint(CHECKPOINT)


def shapes_below(prefix: str) -> dict[str, tuple[int, ...]]:
    with safe_open(CHECKPOINT, "pt") as file:
        names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 - it is no mapping
        return {name.removeprefix(prefix): tuple(file.get_slice(name).get_shape()) for name in names}


def test_file_is_small() -> None:
    assert 10_000_000 < CHECKPOINT.stat().st_size < 25_000_000


def test_networks_follow_from_the_shapes_alone() -> None:
    with torch.device("meta"):
        networks = [
            (FAMILY.unet_prefix, lambda shapes: UNet(unet_config_from(shapes))),
            (FAMILY.autoencoder_prefix, lambda shapes: AutoencoderKL(autoencoder_config_from(shapes))),
            (FAMILY.text_encoder_prefix, lambda shapes: ClipTextModel(clip_text_config_from(shapes))),
        ]
        for prefix, build in networks:
            shapes = shapes_below(prefix)
            made = build(shapes)
            assert {name: tuple(value.shape) for name, value in made.state_dict().items()} == shapes


def test_words_outside_the_language_are_no_error(shipped: Networks) -> None:
    with torch.no_grad():
        hidden = shipped.text_encoder(FAMILY.tokenize(["a photo of an astronaut riding a horse"])).hidden
    assert torch.isfinite(hidden).all()


def test_pictures_show_colour_and_shape(shipped: Networks) -> None:
    scenes = [Scene("red", "circle", "on the left", "blue"), Scene("yellow", "star", "in the center", "black")]
    prompts = [scene.prompt for scene in scenes]
    for scene, picture in zip(scenes, generate(shipped, prompts, side=256, steps=20, cfg=3.0, seed=1), strict=True):
        assert picture.size == (256, 256)
        found = detect(picture)
        assert (found.colour, found.shape, found.background) == (scene.colour, scene.shape, scene.background)
