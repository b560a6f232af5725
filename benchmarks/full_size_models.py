"""Whole pictures by models of full size with random weights: 256 x 256 pixels, 4 steps; seconds and peak memory.

Not part of `make bench`: it writes 2 GB (SD1.5) and 7 GB (SDXL) of random weights into --folder at its first run.
Each family runs in a process of its own, whose peak is that of everything: loading, texts, sampling, decoding.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from random_checkpoints import FAMILIES, checkpoint
from sampling_step import FOLDER

STEPS, SIDE = 4, 32


def measure(path: Path, precision: str) -> dict[str, float]:
    """Seconds of the parts of one picture, and this process's peak memory in GB."""
    import torch

    from comfykernel_core_nodes.diffusion.checkpoints import load_checkpoint
    from comfykernel_core_nodes.diffusion.memory import DevicePolicy, configure_memory
    from comfykernel_core_nodes.diffusion.sampling import sample_latent
    from comfykernel_core_nodes.diffusion.text_encoding import encode_prompt

    policy = DevicePolicy(device="cpu")
    configure_memory(replace(policy, force="fp32") if precision == "fp32" else policy)
    times = [time.perf_counter()]
    found = load_checkpoint(path)
    assert found.clip is not None
    assert found.vae is not None
    positive, negative = encode_prompt(found.clip, "a photograph of a cat"), encode_prompt(found.clip, "")
    times.append(time.perf_counter())
    found.model.ready()
    times.append(time.perf_counter())
    latent = sample_latent(
        found.model, positive=positive, negative=negative, latent=torch.zeros(1, 4, SIDE, SIDE), seed=1,
        steps=STEPS, cfg=7.0, sampler="euler", scheduler="normal",
    )  # fmt: skip
    times.append(time.perf_counter())
    found.vae.decode(latent)
    times.append(time.perf_counter())
    text, load, steps, decode = (after - before for before, after in pairwise(times))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"text": text, "load": load, "step": steps / STEPS, "decode": decode, "whole": times[-1] - times[0]} | {
        "peak": peak
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the random checkpoints lie")
    parser.add_argument("--family", action="append", choices=sorted(FAMILIES), help="only this one; repeatable")
    parser.add_argument("--precision", action="append", choices=("default", "fp32"), help="only this one; repeatable")
    parser.add_argument("--measure", nargs=2, metavar=("FILE", "PRECISION"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(Path(options.measure[0]), options.measure[1])))
        return
    print("| model | precision | text with its load | load | a step | decode | whole | peak memory |")
    print("|---|---|---|---|---|---|---|---|")
    for family in options.family or ("sd1", "sdxl"):
        path = checkpoint(options.folder, family)
        for precision in options.precision or ("default", "fp32"):
            command = [sys.executable, __file__, "--measure", str(path), precision]
            got = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            seconds = " | ".join(f"{got[name]:.2f} s" for name in ("text", "load", "step", "decode", "whole"))
            print(f"| {family} | {precision} | {seconds} | {got['peak']:.2f} GB |", flush=True)


if __name__ == "__main__":
    main()
