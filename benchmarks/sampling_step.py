"""Seconds a step of KSampler at the shape of SD1.5, random weights, 256 x 256 pixels, guidance with both sides.

Ours in float32 and in the default precision of this machine, against a plain loop over the UNet of diffusers in
float32 (where it is installed, else over our own UNet without packed layers). Runs take turns; the least time counts,
because other work on the machine can only add. With --peer-url, a server that speaks the same API and has the
checkpoint (see random_checkpoints.py) as --peer-checkpoint is measured, too, by the difference of long and short runs.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import urllib.request
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from figures import Figure, show
from random_checkpoints import checkpoint
from torch import Tensor

from comfykernel_core_nodes.diffusion.checkpoints import Checkpoint, load_checkpoint
from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.memory import DevicePolicy, ModelMemory
from comfykernel_core_nodes.diffusion.sampling import sample_latent
from comfykernel_core_nodes.diffusion.schedules import sampler_sigmas

FOLDER = Path.home() / ".cache" / "comfykernel_benchmarks"
SIDE, STEPS, SCALE = 32, 3, 7.0
SHORT, LONG = 2, 6
"""Steps of the two runs at a peer whose difference is measured."""
BOUND_FP32, BOUND_DEFAULT = 1 / 1.1, 1 / 3

# Seconds of each step of one run.
Run = Callable[[], list[float]]


def tokens(seed: int) -> Tensor:
    return torch.randn(1, 77, 768, generator=torch.Generator().manual_seed(seed))


def ours(found: Checkpoint, policy: DevicePolicy) -> Run:
    """Steps of our sampling with everything around the network."""
    memory = ModelMemory(policy)

    def run() -> list[float]:
        times = [time.perf_counter()]
        sample_latent(
            found.model,
            positive=[Conditioning(tokens(1))],
            negative=[Conditioning(tokens(2))],
            latent=torch.zeros(1, 4, SIDE, SIDE),
            seed=0,
            steps=STEPS,
            cfg=SCALE,
            sampler="euler",
            scheduler="normal",
            memory=memory,
            callback=lambda *_: times.append(time.perf_counter()),
        )
        return [after - before for before, after in pairwise(times)]

    return run


def plain_loop(found: Checkpoint) -> tuple[str, Run]:
    """Steps of a loop with nothing around the network, float32."""
    name, network = _plain_network(found)
    both = torch.cat([tokens(1), tokens(2)])
    levels = found.model.sampling.levels
    sigmas = sampler_sigmas(levels, "normal", STEPS, sampler="euler")

    @torch.inference_mode()
    def run() -> list[float]:
        x = torch.randn(1, 4, SIDE, SIDE) * sigmas[0]
        times = [time.perf_counter()]
        for now, following in pairwise(sigmas):
            timestep = levels.timestep(now.expand(2)).float()
            cond, uncond = network(torch.cat([x, x]) / math.sqrt(float(now) ** 2 + 1), timestep, both).chunk(2)
            x = x + (uncond + (cond - uncond) * SCALE) * (following - now)
            times.append(time.perf_counter())
        return [after - before for before, after in pairwise(times)]

    return name, run


def _plain_network(found: Checkpoint) -> tuple[str, Callable[[Tensor, Tensor, Tensor], Tensor]]:
    try:
        from diffusers import UNet2DConditionModel
    except ImportError:
        memory = ModelMemory(DevicePolicy(device="cpu", force="fp32", packed=False))
        return "a loop over the plain UNet", found.model.ready(memory).network
    unet = UNet2DConditionModel(sample_size=SIDE, cross_attention_dim=768).eval()
    return "a loop over diffusers' UNet", lambda x, timestep, context: unet(x, timestep, context).sample


def peer_step(url: str, name: str) -> float:
    """Seconds a step at a server: the difference of a long and a short run, by the server's own clock."""
    peer_run(url, name, SHORT)
    least = [min(peer_run(url, name, steps) for _ in range(2)) for steps in (SHORT, LONG)]
    return (least[1] - least[0]) / (LONG - SHORT)


def peer_run(url: str, name: str, steps: int) -> float:
    graph = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": name}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "a cat"}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": ""}},
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": SIDE * 8, "height": SIDE * 8, "batch_size": 1}},
        "5": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0],
                "seed": time.time_ns() % 2**32, "steps": steps, "cfg": SCALE, "sampler_name": "euler",
                "scheduler": "normal", "denoise": 1.0,
            },
        },
        "6": {"class_type": "SaveLatent", "inputs": {"samples": ["5", 0], "filename_prefix": "benchmark"}},
    }  # fmt: skip
    body = json.dumps({"prompt": graph}).encode()
    request = urllib.request.Request(f"{url}/prompt", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        prompt_id = json.load(answer)["prompt_id"]
    while True:
        with urllib.request.urlopen(f"{url}/history/{prompt_id}") as answer:
            entry = json.load(answer).get(prompt_id)
        if entry is not None:
            break
        time.sleep(0.2)
    times = {kind: details["timestamp"] for kind, details in entry["status"]["messages"]}
    if "execution_success" not in times:
        raise RuntimeError(f"the server did not run the prompt: {entry['status']}")
    return float(times["execution_success"] - times["execution_start"]) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the random checkpoint lies")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peer-url", help="a server to measure as well")
    parser.add_argument("--peer-checkpoint", default="random_sd1.safetensors", help="its name of the checkpoint")
    options = parser.parse_args()
    found = load_checkpoint(checkpoint(options.folder, "sd1"))
    default = DevicePolicy(device="cpu")
    name, plain = plain_loop(found)
    runs = {
        "plain": plain,
        "fp32": ours(found, DevicePolicy(device="cpu", force="fp32")),
        "default": ours(found, default),
    }
    steps: dict[str, list[float]] = {key: [] for key in runs}
    for _ in range(options.rounds):
        for key, run in runs.items():
            # The first step of a run loads the model.
            steps[key] += run()[1:]
    best = {key: min(values) for key, values in steps.items()}
    baseline = peer_step(options.peer_url, options.peer_checkpoint) if options.peer_url else best["plain"]
    precision = "bf16" if default.cpu_bf16 else "fp32"
    # The bounds are those against a server; a bare loop has nothing around its network.
    bounds = (BOUND_FP32, BOUND_DEFAULT) if options.peer_url else (None, None)
    figures = [
        Figure("a step, fp32", best["fp32"], "s", baseline, bounds[0], of_ratio=True),
        Figure(f"a step, default ({precision})", best["default"], "s", baseline, bounds[1], of_ratio=True),
    ]
    if options.peer_url:
        figures.append(Figure(f"a step of {name}, fp32", best["plain"], "s", baseline))
    show(figures, baseline=f"{options.peer_url}, fp32" if options.peer_url else f"{name}, fp32")


if __name__ == "__main__":
    main()
