"""Control networks read the text that a condition carries for them; the model reads its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.control import AppliedControl, ControlCall, Residuals
from comfykernel_core_nodes.diffusion.controlnet_unet import ControlUNet, ControlUNetConfig
from comfykernel_core_nodes.diffusion.unet_config import unet_config_from

NETWORK = "model.diffusion_model."
HINT = torch.linspace(0, 1, 64 * 64 * 3).reshape(1, 64, 64, 3)


@dataclass(frozen=True, eq=False)
class ToldText:
    """A control network that is told its text in person, one for each condition."""

    inner: AppliedControl
    text: Conditioning
    both_sides: bool = False
    label: str = "a network that is told its text"

    def residuals(self, call: ControlCall) -> Residuals | None:
        inputs = {**call.inputs, "context": self.text.tokens.expand(len(call.x), -1, -1)}
        vector = inputs.get("y")
        if isinstance(vector, Tensor) and self.text.pooled is not None:
            pooled = self.text.pooled.expand(len(call.x), -1)
            inputs["y"] = torch.cat([pooled, vector[:, pooled.shape[1] :]], dim=1)
        return self.inner.residuals(replace(call, inputs=inputs))


class Bench:
    """A model, a control network for it, and runs under conditions that carry it."""

    def __init__(self, run: Any, checkpoint: Path, weight: Callable[[str, Any], Tensor]) -> None:
        self.run = run
        (run.base / "models/checkpoints/model.safetensors").symlink_to(checkpoint)
        (run.base / "models/controlnet").mkdir()
        shapes = {
            name.removeprefix(NETWORK): tuple(tensor.shape)
            for name, tensor in load_file(checkpoint).items()
            if name.startswith(NETWORK)
        }
        network = ControlUNet(ControlUNetConfig(unet_config_from(shapes)))
        tensors = {name: weight(name, tensor.shape) for name, tensor in network.state_dict().items()}
        save_file(tensors, run.base / "models/controlnet/net.safetensors")
        self.model, self.clip, _ = run.node("CheckpointLoaderSimple", ckpt_name="model.safetensors")
        net = run.node("ControlNetLoader", control_net_name="net.safetensors")
        self.control = net.applied(HINT, strength=0.8)

    def text(self, text: str) -> list[Conditioning]:
        encoded: list[Conditioning] = self.run.node("CLIPTextEncode", text=text, clip=self.clip)
        return encoded

    def with_text(self, conditions: Sequence[Conditioning], text: str) -> list[Conditioning]:
        told: list[Conditioning] = self.run.node(
            "CLIPTextEncodeControlnet", clip=self.clip, conditioning=conditions, text=text
        )
        return told

    def sample(self, positive: list[Conditioning], negative: list[Conditioning], *, batch: int = 1) -> Tensor:
        sampled: Tensor = self.run.node(
            "KSampler", model=self.model, seed=3, steps=2, cfg=2.0, sampler_name="euler", scheduler="normal",
            positive=positive, negative=negative, denoise=1.0, latent_image={"samples": torch.zeros(batch, 4, 8, 8)},
        )["samples"]  # fmt: skip
        return sampled


def under(control: AppliedControl, conditions: Sequence[Conditioning]) -> list[Conditioning]:
    return [each.with_changes(controls=(control,)) for each in conditions]


def close(first: Tensor, second: Tensor) -> bool:
    """Whether two results differ by rounding alone."""
    return float((first - second).abs().max()) < 1e-5 * float(second.abs().max())


@pytest.fixture(params=["sd1", "sdxl"])
def bench(
    request: pytest.FixtureRequest,
    node_run: Callable[..., Any],
    family_checkpoint: Callable[[str], Path],
    weight_tensor: Callable[[str, Any], Tensor],
) -> Bench:
    return Bench(node_run(), family_checkpoint(request.param), weight_tensor)


def test_the_network_reads_its_text_and_the_model_its_own(bench: Bench) -> None:
    house, dog = bench.text("a house"), bench.text("a dog " * 50)
    negative = bench.text("bad")
    control = bench.control
    expected = bench.sample(under(ToldText(control, dog[0]), house), under(control, negative), batch=2)
    told = under(control, bench.with_text(house, "a dog " * 50))
    assert close(bench.sample(told, under(control, negative), batch=2), expected)
    assert not close(bench.sample(under(control, house), under(control, negative), batch=2), expected)


def test_both_sides_may_have_a_text(bench: Bench) -> None:
    positive, negative = bench.text("a house"), bench.text("bad")
    dog = bench.text("a dog")[0]
    told = [under(bench.control, bench.with_text(side, "a dog")) for side in (positive, negative)]
    expected = [under(ToldText(bench.control, dog), side) for side in (positive, negative)]
    assert close(bench.sample(told[0], told[1]), bench.sample(expected[0], expected[1]))


def test_without_a_network_the_text_is_read_by_nobody(bench: Bench) -> None:
    positive, negative = bench.text("a house"), bench.text("bad")
    told = bench.with_text(positive, "a dog")
    assert torch.equal(bench.sample(told, negative), bench.sample(positive, negative))
