"""Measure the demo model: `python -m comfykernel_demo_model.evaluate`.

Prompts that training never saw are drawn by the model, and the detector says what it sees in the pictures.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from tqdm import tqdm

from comfykernel_demo_model import CHECKPOINTS
from comfykernel_demo_model.detector import Detection, detect
from comfykernel_demo_model.drawing import Scene, all_scenes
from comfykernel_demo_model.networks import FAMILY, Networks, load_checkpoint
from comfykernel_demo_model.pictures import to_pictures
from comfykernel_demo_model.schedule import sample_euler

BATCH = 10
LATENT_CHANNELS = 4
DOWNSCALE = 8

# Height of the line of text below a picture of the contact sheet, in pixels.
CAPTION = 16


def unseen_scenes(count: int, seed: int) -> list[Scene]:
    """So many different scenes out of those that are kept from training."""
    scenes = [scene for scene in all_scenes() if scene.held_out]
    random.Random(seed).shuffle(scenes)
    if count > len(scenes):
        raise ValueError(f"only {len(scenes)} scenes are kept from training, {count} asked for")
    return scenes[:count]


@torch.no_grad()
def generate(
    networks: Networks, prompts: Sequence[str], *, side: int, steps: int, cfg: float, seed: int
) -> list[Image.Image]:
    """One square picture for each prompt, with Euler steps and classifier-free guidance (Ho and Salimans 2022)."""
    context = networks.text_encoder(FAMILY.tokenize([*prompts, ""])).hidden
    positive, empty = context[:-1], context[-1:].expand(len(prompts), -1, -1)
    both = torch.cat([positive, empty])

    def denoise(x: Tensor, timesteps: Tensor) -> Tensor:
        wanted, unconditional = networks.unet(torch.cat([x, x]), timesteps.repeat(2), both).chunk(2)
        return unconditional + cfg * (wanted - unconditional)

    shape = (len(prompts), LATENT_CHANNELS, side // DOWNSCALE, side // DOWNSCALE)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    latents = sample_euler(denoise, noise, steps)
    return to_pictures(networks.autoencoder.decode(latents / FAMILY.latent_scale))


def contact_sheet(pictures: Sequence[Image.Image], captions: Sequence[str], columns: int) -> Image.Image:
    """All pictures in rows, each with a line of text below."""
    width, height = pictures[0].width, pictures[0].height + CAPTION
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height), "white")
    pen = ImageDraw.Draw(sheet)
    for index, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        corner = (index % columns * width, index // columns * height)
        sheet.paste(picture, corner)
        pen.text((corner[0] + 3, corner[1] + height - CAPTION + 2), caption, fill="black", font_size=11)
    return sheet


def report(scenes: Sequence[Scene], seen: Sequence[Detection]) -> dict[str, float]:
    """Shares of pictures, in percent, in which the detector sees what the prompt says."""
    pairs = list(zip(scenes, seen, strict=True))
    right = {
        "colour": [scene.colour == found.colour for scene, found in pairs],
        "shape": [scene.shape == found.shape for scene, found in pairs],
        "place": [scene.place == found.place for scene, found in pairs],
        "background": [scene.background == found.background for scene, found in pairs],
    }
    right["colour and shape"] = [a and b for a, b in zip(right["colour"], right["shape"], strict=True)]
    right["everything"] = [all(values) for values in zip(*right.values(), strict=True)]
    return {name: 100 * sum(values) / len(values) for name, values in right.items()}


def main(arguments: list[str] | None = None) -> None:
    """Draw, detect, print the shares and write a contact sheet."""
    options = _parser().parse_args(arguments)
    networks = load_checkpoint(options.checkpoint)
    scenes = unseen_scenes(options.count, options.seed)
    pictures: list[Image.Image] = []
    for start in tqdm(range(0, len(scenes), BATCH), desc="drawing", unit="batch"):
        prompts = [scene.prompt for scene in scenes[start : start + BATCH]]
        pictures += generate(
            networks, prompts, side=options.side, steps=options.steps, cfg=options.cfg, seed=options.seed + start
        )
    seen = [detect(picture) for picture in pictures]
    for scene, found in zip(scenes, seen, strict=True):
        if (scene.colour, scene.shape) != (found.colour, found.shape):
            print(f"{scene.prompt!r}: {found}")
    for name, share in report(scenes, seen).items():
        print(f"{name:18}{share:6.1f} %")
    if options.sheet is not None:
        shown = options.shown
        contact_sheet(pictures[:shown], [scene.prompt for scene in scenes[:shown]], 4).save(options.sheet)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m comfykernel_demo_model.evaluate", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINTS / "demo.safetensors", help="file to measure")
    parser.add_argument("--count", type=int, default=200, help="number of prompts")
    parser.add_argument("--steps", type=int, default=20, help="Euler steps a picture")
    parser.add_argument("--cfg", type=float, default=3.0, help="strength of the guidance")
    parser.add_argument("--side", type=int, default=256, help="pixels of a side, a multiple of 32")
    parser.add_argument("--seed", type=int, default=1, help="seed of the choice of prompts and of the noise")
    parser.add_argument("--sheet", type=Path, help="PNG file for the contact sheet")
    parser.add_argument("--shown", type=int, default=16, help="pictures on the contact sheet")
    return parser


if __name__ == "__main__":
    main()
