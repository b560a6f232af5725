"""Networks that run out of memory above a size: what is too large is done in parts, or an error says so."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion import latent_formats
from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.image_codec import ImageCodec
from comfykernel_core_nodes.diffusion.memory import DevicePolicy, ModelMemory, OutOfMemory, Part, first_that_fits
from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_core_nodes.diffusion.sampling import sample_latent
from comfykernel_core_nodes.diffusion.weights import TensorSource, Weights
from comfykernel_sdk.families import Condition, NetworkInput, Run, TokenSequence


class Bounded(nn.Module):
    """A network and an autoencoder in one that fails, as an allocator does, above `most` elements."""

    def __init__(self, most: int, error: Exception, seen: list[tuple[int, ...]]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1))
        self.most, self.error, self.seen = most, error, seen

    def _taken(self, x: Tensor) -> Tensor:
        self.seen.append(tuple(x.shape))
        if x.numel() > self.most:
            raise self.error
        return x

    def forward(self, x: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        return self._taken(x) * context.mean(dim=(1, 2)).reshape(-1, 1, 1, 1)

    def decode(self, latent: Tensor) -> Tensor:
        return self._taken(latent)[:, :3].repeat_interleave(8, 2).repeat_interleave(8, 3)

    def encode(self, pixels: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(self._taken(pixels), 8)[:, [0, 1, 2, 0]]


def weights(most: int, seen: list[tuple[int, ...]], error: Exception | None = None) -> Weights[nn.Module]:
    error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
    source = TensorSource(lambda: {"weight": torch.ones(1)}, {"weight": (1,)})
    return Weights(lambda: Bounded(most, error, seen), source, "a test")


def read(condition: Condition, _run: Run) -> dict[str, NetworkInput]:
    return {"context": TokenSequence(condition.tokens)}


def sampled(most: int, seen: list[tuple[int, ...]], error: Exception | None = None) -> Tensor:
    model = DiffusionModel(weights(most, seen, error), ModelSampling.epsilon(), latent_formats.SD1, read)
    sides = [[Conditioning(torch.full((1, 2, 4), value))] for value in (0.5, 0.25)]
    latent = torch.zeros(1, 4, 8, 8)
    return sample_latent(
        model, positive=sides[0], negative=sides[1], latent=latent, seed=3, steps=2, cfg=4.0,
        sampler="euler", scheduler="normal",
    )  # fmt: skip


ONE = 4 * 8 * 8


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: 9 bytes."),
    ],
)
def test_conditions_pass_one_by_one_where_both_do_not_fit(error: Exception) -> None:
    together: list[tuple[int, ...]] = []
    apart: list[tuple[int, ...]] = []
    expected = sampled(2 * ONE, together)
    assert {shape[0] for shape in together} == {2}
    assert torch.equal(sampled(ONE, apart, error), expected)
    assert [shape[0] for shape in apart] == [2, 1, 1] * 2


def test_what_does_not_fit_alone_is_an_error_with_a_hint() -> None:
    with pytest.raises(OutOfMemory, match="sampling") as raised:
        sampled(1, [])
    assert raised.value.type == "out_of_memory"
    assert "smaller" in raised.value.hint


def test_other_errors_of_a_network_stay_what_they_are() -> None:
    seen: list[tuple[int, ...]] = []
    with pytest.raises(RuntimeError, match="a fault"):
        sampled(1, seen, RuntimeError("a fault"))
    assert len(seen) == 1


def test_decoding_goes_one_by_one_then_in_tiles(caplog: pytest.LogCaptureFixture) -> None:
    latent = torch.rand(2, 4, 96, 80) * 2 - 1
    row = latent[0].numel()
    whole = ImageCodec(weights(2 * row, []))
    expected = whole.decode(latent)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(ImageCodec(weights(row, [])).decode(latent), expected)
    assert "one by one" in caplog.text
    seen: list[tuple[int, ...]] = []
    tiled = ImageCodec(weights(4 * 64 * 64, seen)).decode(latent)
    torch.testing.assert_close(tiled, expected)
    assert "trying tiles" in caplog.text
    assert max(shape[2] * shape[3] for shape in seen[2:]) <= 64 * 64


def test_encoding_goes_in_tiles() -> None:
    images = torch.rand(1, 1024, 768, 3)
    expected = ImageCodec(weights(images.numel(), [])).encode(images)
    torch.testing.assert_close(ImageCodec(weights(3 * 512 * 512, [])).encode(images), expected)


def test_models_that_no_run_holds_are_dropped_before_another_try() -> None:
    memory = ModelMemory(DevicePolicy(device="cpu"))
    idle = weights(1, [])
    memory.module(idle, Part.CODEC)
    loaded: list[int] = []

    def fails() -> int:
        loaded.append(memory.loaded_bytes())
        if len(loaded) == 1:
            raise MemoryError
        return 7

    assert first_that_fits(memory, "a test", [("it", fails), ("it again", fails)]) == 7
    assert loaded[0] > 0
    assert loaded[1] == 0
