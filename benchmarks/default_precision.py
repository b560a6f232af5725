"""How far pictures in the default precision of this machine are from float32 with the same seeds.

Draws with the demo model in both precisions: the difference of the latents, of the decoded pictures (PSNR), and of the
autoencoder alone on the same latents. --pictures writes both pictures of each pair side by side, to be looked at.
"""

from __future__ import annotations

import argparse
import math
from itertools import product
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from comfykernel_core_nodes.diffusion import encode_prompt, load_checkpoint, sample_latent
from comfykernel_core_nodes.diffusion.memory import DevicePolicy, ModelMemory
from comfykernel_demo_model import CHECKPOINTS

PROMPTS = (
    "a red circle on the left, blue background",
    "a green star at the top, white background",
    "a yellow square in the center, black background",
    "a purple triangle on the right, white background",
)
SAMPLERS = ("euler", "euler_ancestral", "dpmpp_2m", "dpmpp_2m_sde")
SIDE, STEPS, SCALE = 256, 20, 3.0


def psnr(one: Tensor, other: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of two pictures in 0..1."""
    return -10 * math.log10(float((one - other).square().mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, help="a folder for the pairs")
    parser.add_argument("--sampler", action="append", choices=SAMPLERS, help="only this one; repeatable")
    options = parser.parse_args()
    found = load_checkpoint(CHECKPOINTS / "demo.safetensors")
    assert found.clip is not None
    assert found.vae is not None
    memories = [ModelMemory(DevicePolicy(device="cpu", force="fp32")), ModelMemory(DevicePolicy(device="cpu"))]
    print("| sampler | prompt | latents, relative | pictures | the autoencoder alone |\n|---|---|---|---|---|")
    worst = math.inf
    for sampler, (number, prompt) in product(options.sampler or SAMPLERS, enumerate(PROMPTS)):
        exact, default = (
            sample_latent(
                found.model,
                positive=encode_prompt(found.clip, prompt),
                negative=encode_prompt(found.clip, ""),
                latent=torch.zeros(1, found.vae.channels, SIDE // found.vae.downscale, SIDE // found.vae.downscale),
                seed=number,
                steps=STEPS,
                cfg=SCALE,
                sampler=sampler,
                scheduler="normal",
                memory=memory,
            )
            for memory in memories
        )
        pictures = [found.vae.decode(exact, memory=memories[0]), found.vae.decode(default, memory=memories[1])]
        alone = psnr(pictures[0], found.vae.decode(exact, memory=memories[1]))
        moved = float((default - exact).norm() / exact.norm())
        worst = min(worst, psnr(*pictures))
        print(f"| {sampler} | {prompt} | {moved:.2%} | {psnr(*pictures):.1f} dB | {alone:.1f} dB |", flush=True)
        if options.pictures:
            options.pictures.mkdir(parents=True, exist_ok=True)
            pair = torch.cat([picture[0] for picture in pictures], dim=1)
            Image.fromarray((pair * 255).round().byte().numpy()).save(options.pictures / f"{sampler}_{number}.png")
    print(f"\nThe furthest pair: {worst:.1f} dB. Nobody sees a difference above about 35 dB.")


if __name__ == "__main__":
    main()
