"""Draw a picture with the diffusion library alone: no server, no workflow, no kernel.

    python examples/diffusion_library.py "a green star at the top, white background" star.png

The same lines work in a notebook. Another checkpoint: ``--checkpoint FILE``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from comfykernel_core_nodes.diffusion import encode_prompt, load_checkpoint, sample_latent
from comfykernel_demo_model import CHECKPOINTS

SIDE = 256


def draw(prompt: str, checkpoint: Path, *, steps: int, seed: int) -> Image.Image:
    """A picture that follows a prompt."""
    model, clip, vae = (loaded := load_checkpoint(checkpoint)).model, loaded.clip, loaded.vae
    if clip is None or vae is None:
        raise SystemExit(f"{checkpoint} lacks a text model or an autoencoder.")
    with tqdm(total=steps, unit="step") as bar:
        latent = sample_latent(
            model,
            positive=encode_prompt(clip, prompt),
            negative=encode_prompt(clip, ""),
            latent=torch.zeros(1, vae.channels, SIDE // vae.downscale, SIDE // vae.downscale),
            seed=seed, steps=steps, cfg=3.0, sampler="euler", scheduler="normal",
            callback=lambda *_: bar.update(),
        )  # fmt: skip
    pixels = vae.decode(latent)[0]
    return Image.fromarray((pixels * 255).round().byte().numpy())


def main() -> None:
    """Read the command line, draw, save."""
    parser = argparse.ArgumentParser(description="Draw a picture.")
    parser.add_argument("prompt")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINTS / "demo.safetensors")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    draw(options.prompt, options.checkpoint, steps=options.steps, seed=options.seed).save(options.picture)


if __name__ == "__main__":
    main()
