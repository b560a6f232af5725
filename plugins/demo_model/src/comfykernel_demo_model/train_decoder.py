"""First stage of training: the decoder learns sharp edges from latents that are mean colours."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor
from tqdm import tqdm

from comfykernel_demo_model.colour_path import keep_colour_path, lay_colour_path
from comfykernel_demo_model.drawing import Scene, all_scenes, draw
from comfykernel_demo_model.pictures import mean_colours, to_pictures, to_tensor
from comfykernel_demo_model.progress import SAVE_EVERY, learning_rate, load_state, save_state

# Side of the pictures in pixels -> how many in a batch. Whole ones, because the norms see their mixture of colours.
BATCHES = {128: 2, 192: 1}

PEAK_RATE = 3e-4
WARM_UP = 50

# The last convolution learns slower: it adds up hundreds of inputs, which all move the same way at first.
LAST_RATE_FACTOR = 0.2

# Deviation of the noise on the latents: what a sampler leaves must not show.
LATENT_NOISE = 0.01


def train_decoder(model: Any, work: Path, *, steps: int, seed: int) -> None:
    """Train an autoencoder's decoder in place, resuming from the state in `work`."""
    path = work / "decoder.pt"
    lay_colour_path(model)
    model.encoder.requires_grad_(False)
    decoder = model.decoder
    keep_colour_path(decoder)
    last = [parameter for name, parameter in decoder.named_parameters() if name.startswith("conv_out")]
    others = [parameter for name, parameter in decoder.named_parameters() if not name.startswith("conv_out")]
    optimizer = torch.optim.AdamW([{"params": others}, {"params": last}], betas=(0.9, 0.99), weight_decay=0.0)
    first = 0
    if (state := load_state(path)) is not None:
        decoder.load_state_dict(state["decoder"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    scenes = all_scenes()
    bar = tqdm(range(first, steps), initial=first, total=steps, desc="decoder")
    for step in bar:
        rate = learning_rate(step, steps, peak=PEAK_RATE, warm_up=WARM_UP)
        for group, factor in zip(optimizer.param_groups, (1.0, LAST_RATE_FACTOR), strict=True):
            group["lr"] = rate * factor
        images = _batch(scenes, step, seed)
        error = _train_step(decoder, optimizer, images, torch.Generator().manual_seed(seed * 1_000_003 + step))
        bar.set_postfix(error=f"{error:.4f}")
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
            save_state(path, {"step": step + 1, "decoder": decoder.state_dict(), "optimizer": optimizer.state_dict()})
            _write_sample(model, images, work / f"decoder_{step + 1:05d}.png")


def _batch(scenes: list[Scene], step: int, seed: int) -> Tensor:
    rng = random.Random(f"decoder/{seed}/{step}")
    side = rng.choice(list(BATCHES))
    return to_tensor([draw(rng.choice(scenes), side, rng) for _ in range(BATCHES[side])])


def _decode(decoder: Any, latents: Tensor) -> Tensor:
    """The decoder without the residual branches of its finest level: they stay at zero, and are most of the work."""
    x = decoder.mid(decoder.conv_in(latents))
    for level in reversed(list(decoder.up)[1:]):
        x = level(x)
    out: Tensor = decoder.conv_out(functional.silu(decoder.norm_out(decoder.up[0].block[0].nin_shortcut(x))))
    return out


def _train_step(decoder: Any, optimizer: torch.optim.Optimizer, images: Tensor, generator: torch.Generator) -> float:
    """One step; returns the mean absolute error."""
    colours = mean_colours(images)
    colours = colours + LATENT_NOISE * torch.randn(colours.shape, generator=generator)
    latents = torch.cat([colours, torch.zeros_like(colours[:, :1])], dim=1)
    with torch.autocast("cpu", torch.bfloat16):
        decoded = _decode(decoder, latents.to(memory_format=torch.channels_last))
    difference = decoded.float() - images
    error = difference.abs().mean()
    optimizer.zero_grad(set_to_none=True)
    difference.square().mean().backward()
    torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
    optimizer.step()
    return error.item()


@torch.no_grad()
def _write_sample(model: Any, images: Tensor, path: Path) -> None:
    """Originals above, their reconstructions below."""
    rows = torch.cat([torch.cat(list(batch), dim=2) for batch in (images, model.decode(model.encode(images)))], dim=1)
    to_pictures(rows[None])[0].save(path)
