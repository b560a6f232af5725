"""Loading, text encoding and decoding at the shape of SD1.5 with random weights, float16 in the file (2.1 GB).

Each against the plain way in the same process: tensors read by safetensors and converted to float32, the text model
and the decoder in float32 without packed layers. What is cold is read after the system forgot the file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from figures import Figure, show
from random_checkpoints import checkpoint
from safetensors.torch import load_file
from sampling_step import FOLDER

from comfykernel_core_nodes.diffusion.checkpoints import Checkpoint, load_checkpoint
from comfykernel_core_nodes.diffusion.memory import DevicePolicy, ModelMemory, Part

ROUNDS = 3
PLAIN = DevicePolicy(device="cpu", force="fp32", packed=False)


def least(*works: Callable[[], object], before: Callable[[], None] = lambda: None) -> list[float]:
    """Least seconds of each of several works that take turns."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for number, work in enumerate(works):
            before()
            begun = time.perf_counter()
            work()
            times[number].append(time.perf_counter() - begun)
    return [min(each) for each in times]


def forget(path: Path) -> None:
    """Have the system forget the file."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def load_all(path: Path) -> list[object]:
    """All models of the checkpoint, ready to run in the default precision."""
    found, memory = load_checkpoint(path), ModelMemory(DevicePolicy(device="cpu"))
    return [found, memory, *_networks(found, memory)]


def _networks(found: Checkpoint, memory: ModelMemory) -> list[object]:
    assert found.clip is not None
    assert found.vae is not None
    texts = [memory.module(part.weights, Part.TEXT) for part in found.clip.parts.values()]
    return [memory.module(found.model.weights, Part.DIFFUSION), memory.module(found.vae.weights, Part.CODEC), *texts]


def load_plain(path: Path) -> list[torch.Tensor]:
    """All tensors in float32."""
    return [tensor.float() for tensor in load_file(path).values()]


def main() -> None:
    path = checkpoint(FOLDER, "sd1")
    figures: list[Figure] = []
    for name, before in (("cold", lambda: forget(path)), ("warm", lambda: None)):
        fast, plain = least(lambda: load_all(path), lambda: load_plain(path), before=before)
        figures.append(Figure(f"load of a checkpoint of 2.1 GB, {name}", fast, "s", plain))
    found = load_checkpoint(path)
    memories = [ModelMemory(policy) for policy in (DevicePolicy(device="cpu"), PLAIN)]
    assert found.clip is not None
    assert found.vae is not None
    clip, vae = found.clip, found.vae
    tokens, latent = clip.tokenize("a photograph of a cat on a table"), torch.randn(1, 4, 32, 32)
    for memory in memories:
        _networks(found, memory)
    with torch.inference_mode():
        fast, plain = least(*[lambda memory=memory: clip.encode(tokens, memory=memory) for memory in memories])
        figures.append(Figure("encode of a prompt", fast * 1e3, "ms", plain * 1e3))
        fast, plain = least(*[lambda memory=memory: vae.decode(latent, memory) for memory in memories])
        figures.append(Figure("decode of 256 x 256 pixels", fast, "s", plain))
    show(figures, baseline="plain, fp32")


if __name__ == "__main__":
    main()
