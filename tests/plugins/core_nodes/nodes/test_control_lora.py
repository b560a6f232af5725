"""Control-LoRAs act as the whole control network with the summed weights would, on any model of their shape."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from comfykernel_core_nodes.diffusion.controlnet_unet import ControlUNet, ControlUNetConfig
from comfykernel_core_nodes.diffusion.memory import default_memory
from comfykernel_core_nodes.diffusion.unet_config import unet_config_from
from comfykernel_core_nodes.diffusion.weight_patches import AddDifference
from comfykernel_sdk.errors import BadInput, ModelFileError

Weight = Callable[[str, Any], Tensor]

HINT = torch.linspace(0, 1, 64 * 64 * 3).reshape(1, 64, 64, 3)
NETWORK = "model.diffusion_model."
RANK = 2
CHANGED = "input_blocks.1.0.in_layers.2.weight"


class Bench:
    """A model with the same control network in two forms: as changes, and whole."""

    def __init__(self, run: Any, family: str, checkpoint: Path, weight: Weight) -> None:
        self.run, self.family = run, family
        (run.base / f"models/checkpoints/{family}.safetensors").symlink_to(checkpoint)
        (run.base / "models/controlnet").mkdir(exist_ok=True)
        unet = {
            name.removeprefix(NETWORK): tensor.float()
            for name, tensor in load_file(checkpoint).items()
            if name.startswith(NETWORK)
        }
        config = unet_config_from({name: tuple(tensor.shape) for name, tensor in unet.items()})
        self.lora, self.whole = low_rank_and_whole(ControlUNet(ControlUNetConfig(config)), unet, weight)
        self.save("lora", self.lora)
        self.save("whole", self.whole)
        self.model, self.clip, _ = run.node("CheckpointLoaderSimple", ckpt_name=f"{family}.safetensors")

    def save(self, name: str, tensors: dict[str, Tensor]) -> None:
        save_file(tensors, self.run.base / f"models/controlnet/{self.family}_{name}.safetensors")

    def load(self, name: str) -> Any:
        return self.run.node("ControlNetLoader", control_net_name=f"{self.family}_{name}.safetensors")

    def sample(self, net: Any, model: Any = None, *, channels: int = 4, **values: object) -> Tensor:
        """A short run under a control network; the negative text is longer than the positive."""
        sides = [self.run.node("CLIPTextEncode", text=text, clip=self.clip) for text in ("a house", "a dog " * 50)]
        given: dict[str, object] = {"strength": 0.8, "start_percent": 0.0, "end_percent": 1.0, "image": HINT, **values}
        positive, negative = self.run.node(
            "ControlNetApplyAdvanced", positive=sides[0], negative=sides[1], control_net=net, **given
        )
        sampled: Tensor = self.run.node(
            "KSampler", model=model or self.model, seed=3, steps=2, cfg=2.0, sampler_name="euler", scheduler="normal",
            positive=positive, negative=negative, denoise=1.0, latent_image={"samples": torch.zeros(1, channels, 8, 8)},
        )["samples"]  # fmt: skip
        return sampled


def low_rank_and_whole(
    network: ControlUNet, unet: dict[str, Tensor], weight: Weight
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Matrices of the UNet get changes, some of its vectors are stored whole, others are the UNet's."""
    lora, whole = {"lora_controlnet": torch.zeros(0)}, {}
    for number, (name, tensor) in enumerate(network.state_dict().items()):
        if name not in unet or (tensor.ndim == 1 and number % 2):
            lora[name] = whole[name] = weight(name, tensor.shape)
        elif tensor.ndim == 1:
            whole[name] = unet[name]
        else:
            module = name.removesuffix(".weight")
            up = weight(f"{name}.up", (tensor.shape[0], RANK, *[1] * (tensor.ndim - 2)))
            down = weight(f"{name}.down", (RANK, *tensor.shape[1:]))
            lora |= {f"{module}.up": up, f"{module}.down": down}
            whole[name] = unet[name] + (up.flatten(1) @ down.flatten(1)).reshape(tensor.shape)
    return lora, whole


def close(first: Tensor, second: Tensor) -> bool:
    """Whether two results differ by rounding alone."""
    return float((first - second).abs().max()) < 1e-5 * float(second.abs().max())


@pytest.fixture
def bench(
    node_run: Callable[..., Any], family_checkpoint: Callable[[str], Path], weight_tensor: Weight
) -> Callable[[str], Bench]:
    run = node_run()
    return lambda family: Bench(run, family, family_checkpoint(family), weight_tensor)


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_it_equals_the_whole_network(bench: Callable[[str], Bench], family: str) -> None:
    here = bench(family)
    whole, lora = (here.sample(here.load(name)) for name in ("whole", "lora"))
    assert close(lora, whole)
    assert not close(lora, here.sample(here.load("lora"), strength=0.1))


def test_strength_and_range(bench: Callable[[str], Bench]) -> None:
    here = bench("sd1")
    options: list[dict[str, Any]] = [{"strength": 0.3}, {"start_percent": 0.5}, {"end_percent": 0.4}]
    for values in options:
        lora, whole = (here.sample(here.load(name), **values) for name in ("lora", "whole"))
        assert close(lora, whole), values


def test_it_changes_the_model_with_its_patches(bench: Callable[[str], Bench], weight_tensor: Weight) -> None:
    here = bench("sd1")
    difference = weight_tensor("difference", here.whole[CHANGED].shape)
    patched = here.model.with_patches({CHANGED: AddDifference(difference, 0.5)})
    net = here.load("lora")
    first = here.sample(net)
    here.save("patched", {**here.whole, CHANGED: here.whole[CHANGED] + 0.5 * difference})
    assert close(here.sample(net, patched), here.sample(here.load("patched"), patched))
    assert torch.equal(here.sample(net), first), "the model without the patch has its own network again"


def test_its_weights_go_with_the_model(bench: Callable[[str], Bench]) -> None:
    here = bench("sd1")
    net, memory = here.load("lora"), default_memory()
    text = here.run.node("CLIPTextEncode", text="", clip=here.clip)
    here.sample(net)
    controlled = memory.loaded_bytes()
    memory.free()
    assert memory.loaded_bytes() == 0
    here.run.node(
        "KSampler", model=here.model, seed=3, steps=1, cfg=1.0, sampler_name="euler", scheduler="normal",
        positive=text, negative=text, denoise=1.0, latent_image={"samples": torch.zeros(1, 4, 8, 8)},
    )  # fmt: skip
    assert 0 < memory.loaded_bytes() < controlled
    here.sample(net)
    here.model = here.clip = text = None
    # A run's parts know each other.
    gc.collect()
    assert memory.loaded_bytes() == 0, "the network of a model that nobody has is gone"


@pytest.mark.parametrize(("file", "model"), [("sdxl", "sd1"), ("sd1", "sdxl")])
def test_a_model_of_another_family(bench: Callable[[str], Bench], file: str, model: str) -> None:
    net, here = bench(file).load("lora"), bench(model)
    with pytest.raises(BadInput, match=rf"{file}_lora\.safetensors: It is for texts of width \d+, the model's have"):
        here.sample(net)


def test_a_model_without_a_unet(bench: Callable[[str], Bench], family_checkpoint: Callable[[str], Path]) -> None:
    here = bench("sd1")
    (here.run.base / "models/checkpoints/flux.safetensors").symlink_to(family_checkpoint("flux"))
    model, clip, _ = here.run.node("CheckpointLoaderSimple", ckpt_name="flux.safetensors")
    here.clip = clip
    with pytest.raises(BadInput, match=r"sd1_lora\.safetensors: A Control-LoRA changes a UNet"):
        here.sample(here.load("lora"), model, channels=16)


def test_a_model_of_another_shape(bench: Callable[[str], Bench]) -> None:
    here = bench("sd1")
    here.lora["input_blocks.1.0.in_layers.2.up"] = torch.ones(64, RANK, 1, 1)
    here.save("wide", here.lora)
    with pytest.raises(BadInput, match=r"sd1_wide\.safetensors: It changes 'input_blocks.1.0.in_layers.2.weight'"):
        here.sample(here.load("wide"))


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("time_embed.0.up", None, "'time_embed.0.up' of shape .* do not go together"),
        ("time_embed.0.down", torch.ones(3, 32), "do not go together"),
        ("input_hint_block.0.weight", None, "lacks the tensor 'input_hint_block.0.weight'"),
        ("time_embed.0.up", torch.ones(128, 2, dtype=torch.int8), "of type int8"),
    ],
)
def test_a_damaged_file(bench: Callable[[str], Bench], name: str, tensor: Tensor | None, message: str) -> None:
    here = bench("sd1")
    del here.lora[name]
    if tensor is not None:
        here.lora[name] = tensor
    here.save("damaged", here.lora)
    with pytest.raises(ModelFileError, match=rf"sd1_damaged\.safetensors: .*{message}"):
        here.load("damaged")
