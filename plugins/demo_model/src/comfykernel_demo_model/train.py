"""Train the demo model: `python -m comfykernel_demo_model.train`.

Deterministic for a seed and a kind of machine. A run that is started again on the same work folder goes on from its
last saved state; with no steps left it only writes the checkpoint.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from comfykernel_demo_model import CHECKPOINTS
from comfykernel_demo_model.networks import Networks, build_networks, save_checkpoint
from comfykernel_demo_model.train_decoder import train_decoder
from comfykernel_demo_model.train_diffusion import Learner, Run, Stage, train_stage


def stages(small_steps: int, large_steps: int, outline_steps: int) -> list[Stage]:
    """Long at 128 pixels, where a step is cheap, then at the 256 pixels of use, last with an eye on outlines."""
    return [
        Stage("128px", 128, 32, small_steps, peak_rate=8e-4, last_rate=0.4, warm_up=100, layout_every=2),
        Stage("256px", 256, 12, large_steps, peak_rate=4e-4, last_rate=0.02, warm_up=50, layout_every=2),
        Stage("outlines", 256, 12, outline_steps, peak_rate=4e-4, last_rate=0.02, warm_up=30, layout_every=6),
    ]


def main(arguments: list[str] | None = None) -> None:
    """Run all stages and write the checkpoint."""
    options = _parser().parse_args(arguments)
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    networks = build_networks()
    learner = Learner(networks)
    _channels_last(networks)
    run = Run(learner, options.work, options.seed)
    train_decoder(networks.autoencoder, options.work, steps=options.decoder_steps, seed=options.seed)
    for stage in stages(options.small_steps, options.large_steps, options.outline_steps):
        train_stage(run, stage)
    run.averaged()
    save_checkpoint(networks, options.output)
    print(f"wrote {options.output} ({options.output.stat().st_size / 1e6:.1f} MB) after {run.done}")


def _channels_last(networks: Networks) -> None:
    """The memory layout in which convolutions are fastest on a CPU."""
    parts: list[Any] = [networks.unet, networks.autoencoder]
    for part in parts:
        part.to(memory_format=torch.channels_last)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m comfykernel_demo_model.train", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("demo_model_training"), help="folder of the run's state")
    parser.add_argument("--output", type=Path, default=CHECKPOINTS / "demo.safetensors", help="checkpoint to write")
    parser.add_argument("--seed", type=int, default=1, help="seed of weights, data and noise")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    parser.add_argument("--decoder-steps", type=int, default=2000, help="steps of the autoencoder's decoder")
    parser.add_argument("--small-steps", type=int, default=2200, help="steps at 128 pixels")
    parser.add_argument("--large-steps", type=int, default=1000, help="steps at 256 pixels")
    parser.add_argument("--outline-steps", type=int, default=750, help="steps at 256 pixels for the outlines")
    return parser


if __name__ == "__main__":
    main()
