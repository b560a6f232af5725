"""Steps a second of a KSampler node in the engine, against a bare loop over the same UNet.

The UNet is a small one in the SD1 layout with random weights, as large as the one of the demo model; 256 x 256 pixels,
guidance with both sides in one batch, euler steps. Runs and bare loops take turns; one step is measured as the time of
all steps by their number, so the first and last things that a node does count.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import torch
from figures import Figure, show

from comfykernel.engine import engine_of
from comfykernel.plugin_host import PluginHost
from comfykernel_core_nodes.diffusion import latent_formats
from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_core_nodes.diffusion.schedules import sampler_sigmas
from comfykernel_core_nodes.diffusion.unet import UNet, UNetConfig
from comfykernel_core_nodes.diffusion.weights import TensorSource, Weights
from comfykernel_core_nodes.nodes.latent.shapes import empty_latent_image
from comfykernel_core_nodes.nodes.sampling.ksampler import ksampler
from comfykernel_sdk.events import NodeProgress
from comfykernel_sdk.nodes import Result, node
from comfykernel_sdk.scheduler import Assignment
from comfykernel_sdk.settings import PathSettings, Settings
from comfykernel_sdk.sockets import Int, Latent, Socket

if TYPE_CHECKING:
    from comfykernel.engine import Engine
    from comfykernel_sdk.events import Event
    from comfykernel_sdk.graph import Graph
    from comfykernel_sdk.json_types import JsonObject

STEPS = 10
ROUNDS = 5
PIXELS = 256
TOKENS, WIDTH = 77, 256
BOUND = 1.05
"""The bare loop may be at most so much faster."""
CONFIG = UNetConfig(
    model_channels=64,
    num_res_blocks=(2, 2, 2),
    channel_mult=(1, 2, 3),
    transformer_depth=(0, 0, 1, 1, 1, 1),
    transformer_depth_output=(0, 0, 0, 1, 1, 1, 1, 1, 1),
    context_dim=WIDTH,
)


@cache
def model() -> DiffusionModel:
    torch.manual_seed(0)
    tensors = UNet(CONFIG).state_dict()
    source = TensorSource(lambda: tensors, {name: tuple(tensor.shape) for name, tensor in tensors.items()})
    return DiffusionModel(Weights(lambda: UNet(CONFIG), source, "random"), ModelSampling.epsilon(), latent_formats.SD1)


def tokens(seed: int) -> torch.Tensor:
    return torch.randn(1, TOKENS, WIDTH, generator=torch.Generator().manual_seed(seed))


@node("BenchmarkModel", category="benchmark")
def random_model() -> Annotated[DiffusionModel, Socket("MODEL")]:
    """A model with random weights."""
    return model()


@node("BenchmarkCondition", category="benchmark")
def condition(seed: Annotated[int, Int(default=0)]) -> Annotated[list[Conditioning], Socket("CONDITIONING")]:
    """Random tokens."""
    return [Conditioning(tokens(seed))]


@node("BenchmarkEnd", category="benchmark", output_node=True)
def end(latent: Latent) -> Result[None]:
    """Take a latent."""
    return Result(ui={"text": [str(tuple(latent["samples"].shape))]})


def graph(seed: int) -> Graph:
    inputs: JsonObject = {
        "seed": seed,
        "steps": STEPS,
        "cfg": 7.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1.0,
    }
    inputs |= {"model": ["model", 0], "positive": ["yes", 0], "negative": ["no", 0], "latent_image": ["empty", 0]}
    return {
        "model": {"class_type": "BenchmarkModel", "inputs": {}},
        "yes": {"class_type": "BenchmarkCondition", "inputs": {"seed": 1}},
        "no": {"class_type": "BenchmarkCondition", "inputs": {"seed": 2}},
        "empty": {"class_type": "EmptyLatentImage", "inputs": {"width": PIXELS, "height": PIXELS, "batch_size": 1}},
        "sampler": {"class_type": "KSampler", "inputs": inputs},
        "end": {"class_type": "BenchmarkEnd", "inputs": {"latent": ["sampler", 0]}},
    }


async def node_seconds(engine: Engine, seed: int) -> float:
    """How long the sampler's node ran."""
    times: list[float] = []

    def note(event: Event) -> None:
        if isinstance(event, NodeProgress) and event.place.node_id == "sampler":
            times.append(time.perf_counter())

    outcome = await engine.run(Assignment(prompt_id="p", graph=graph(seed), outputs_to_execute=["end"]), note)
    if outcome.status != "done":
        raise RuntimeError(outcome.reason)
    return times[-1] - times[0]


def bare_seconds(seed: int) -> float:
    """The same steps without anything around the network."""
    ready = model().ready()
    both = torch.cat([tokens(1), tokens(2)])
    sigmas = sampler_sigmas(model().sampling.levels, "normal", STEPS, sampler="euler")
    side = PIXELS // 8
    x = torch.randn(1, 4, side, side, generator=torch.Generator().manual_seed(seed)) * sigmas[0]
    begun = time.perf_counter()
    with torch.inference_mode():
        for now, following in pairwise(sigmas):
            timestep = model().sampling.levels.timestep(now.expand(2))
            noise = ready.unet(torch.cat([x, x]) / (now**2 + 1) ** 0.5, timestep, both)
            cond, uncond = noise.chunk(2)
            x = x + (uncond + (cond - uncond) * 7.0) * (following - now)
    return time.perf_counter() - begun


async def main() -> None:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(paths=PathSettings(base=str(Path(folder))))
        host = PluginHost(settings, side="worker", environ={"COMFYKERNEL_LOAD_PLUGINS": ""})
        host.load()
        nodes = [random_model, condition, end, empty_latent_image, ksampler]
        engine = engine_of(nodes, settings=settings, storage=host.make_storage())
        await node_seconds(engine, 0)
        bare_seconds(0)
        pairs = [(await node_seconds(engine, seed), bare_seconds(seed)) for seed in range(1, ROUNDS + 1)]
    ours, bare = (statistics.median(values) / STEPS * 1e3 for values in zip(*pairs, strict=True))
    show(
        [Figure(f"a step of KSampler ({1e3 / ours:.2f} a second)", ours, "ms", bare, bound=BOUND, of_ratio=True)],
        baseline=f"a bare loop ({1e3 / bare:.2f} a second)",
    )


if __name__ == "__main__":
    asyncio.run(main())
