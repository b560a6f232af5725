"""Control networks on conditions: chains, strengths, shared batches, and files for other models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.controlnet_unet import ControlUNet, ControlUNetConfig
from comfykernel_core_nodes.diffusion.gligen import GligenModel, PlacedTexts
from comfykernel_core_nodes.diffusion.t2i_adapter import AdapterConfig, T2IAdapter
from comfykernel_core_nodes.diffusion.text_encoding import TextEncoder
from comfykernel_core_nodes.diffusion.unet_config import UNetConfig
from comfykernel_core_nodes.diffusion.weights import TensorSource, Weights
from comfykernel_sdk.errors import BadInput, ModelFileError, NotFound

Weight = Callable[[str, Any], Tensor]

TINY = UNetConfig(
    model_channels=32,
    num_res_blocks=(1, 1),
    channel_mult=(1, 2),
    transformer_depth=(1, 1),
    transformer_depth_output=(1, 1, 1, 1),
    context_dim=64,
)
HINT = torch.linspace(0, 1, 64 * 64 * 3).reshape(1, 64, 64, 3)


@pytest.fixture
def run(node_run: Callable[..., Any], tiny_checkpoint: Path, weight_tensor: Weight) -> Any:
    """Nodes over a folder with a checkpoint and control networks for it and for another model."""
    run = node_run()
    (run.base / "models/checkpoints/tiny.safetensors").symlink_to(tiny_checkpoint)
    folder = run.base / "models/controlnet"
    folder.mkdir()
    wide = UNetConfig(
        **{name: getattr(TINY, name) for name in TINY.__slots__ if name != "context_dim"}, context_dim=128
    )
    networks = {
        "edges": ControlUNet(ControlUNetConfig(TINY)),
        "moods_shuffle": ControlUNet(ControlUNetConfig(TINY)),
        "other_family": ControlUNet(ControlUNetConfig(wide)),
        "adapter_xl": T2IAdapter(AdapterConfig(channels=(32, 64, 64, 64), blocks=1, xl=True)),
    }
    for name, network in networks.items():
        tensors = {key: weight_tensor(key, tensor.shape) for key, tensor in network.state_dict().items()}
        save_file(tensors, folder / f"{name}.safetensors")
    return run


@pytest.fixture
def sampled(run: Any) -> Callable[..., Tensor]:
    """The latents of a short run with conditions; all else is the same at each call."""
    model, clip, _ = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")

    def sample(
        positive: list[Conditioning] | None = None, negative: list[Conditioning] | None = None, batch: int = 1
    ) -> Tensor:
        text = run.node("CLIPTextEncode", text="a house", clip=clip)
        return run.node(
            "KSampler", model=model, seed=3, steps=2, cfg=2.0, sampler_name="euler", scheduler="normal",
            positive=positive or text, negative=negative or text, denoise=1.0,
            latent_image={"samples": torch.zeros(batch, 4, 8, 8)},
        )["samples"]  # fmt: skip

    return sample


@pytest.fixture
def text(run: Any) -> list[Conditioning]:
    """A condition for the tiny model."""
    _, clip, _ = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    encoded: list[Conditioning] = run.node("CLIPTextEncode", text="a house", clip=clip)
    return encoded


def loaded(run: Any, name: str) -> Any:
    return run.node("ControlNetLoader", control_net_name=f"{name}.safetensors")


def applied(run: Any, text: list[Conditioning], name: str, **values: object) -> Any:
    given: dict[str, object] = {"strength": 1.0, "start_percent": 0.0, "end_percent": 1.0, "image": HINT, **values}
    return run.node("ControlNetApplyAdvanced", positive=text, negative=text, control_net=loaded(run, name), **given)


def test_strength_zero_changes_no_condition(run: Any, text: list[Conditioning]) -> None:
    assert applied(run, text, "edges", strength=0.0) == (text, text)
    same = run.node("ControlNetApply", conditioning=text, control_net=loaded(run, "edges"), image=HINT, strength=0.0)
    assert same is text


def test_networks_in_a_row_all_act(run: Any, text: list[Conditioning], sampled: Callable[..., Tensor]) -> None:
    once = applied(run, text, "edges", strength=0.5)
    twice = [applied(run, side, "edges", strength=0.5)[0] for side in once]
    assert [len(each.controls) for each in twice[0]] == [2]
    assert [len(each.controls) for each in once[0]] == [1], "conditions are not changed in place"
    whole = applied(run, text, "edges")
    assert torch.allclose(sampled(*twice), sampled(*whole), atol=1e-3)
    assert not torch.allclose(sampled(*once), sampled(*whole), atol=1e-3)


def test_the_range_of_the_run(run: Any, text: list[Conditioning], sampled: Callable[..., Tensor]) -> None:
    plain, never = sampled(text, text), sampled(*applied(run, text, "edges", start_percent=1.0))
    assert torch.equal(plain, never)
    assert not torch.allclose(plain, sampled(*applied(run, text, "edges", end_percent=0.2)), atol=1e-3)


def test_the_old_node_acts_on_both_sides(run: Any, text: list[Conditioning], sampled: Callable[..., Tensor]) -> None:
    both = run.node("ControlNetApply", conditioning=text, control_net=loaded(run, "edges"), image=HINT, strength=1.0)
    assert torch.allclose(sampled(both, text), sampled(*applied(run, text, "edges")), atol=1e-4)


@pytest.mark.parametrize("hints", [1, 2, 3])
def test_pictures_and_latents_of_other_numbers(
    run: Any, text: list[Conditioning], sampled: Callable[..., Tensor], hints: int
) -> None:
    image = torch.cat([HINT, 1.0 - HINT, HINT])[:hints, :40, :56]
    assert sampled(*applied(run, text, "edges", image=image), batch=2).shape == (2, 4, 8, 8)


def test_a_shuffle_network_adds_the_same_everywhere(
    run: Any, text: list[Conditioning], sampled: Callable[..., Tensor]
) -> None:
    assert loaded(run, "moods_shuffle").averaged
    assert not loaded(run, "edges").averaged
    averaged, placed = (sampled(*applied(run, text, name)) for name in ("moods_shuffle", "edges"))
    assert not torch.allclose(averaged, placed, atol=1e-3)


@pytest.mark.parametrize("name", ["other_family", "adapter_xl"])
def test_a_network_for_another_family_names_its_file(
    run: Any, text: list[Conditioning], sampled: Callable[..., Tensor], name: str
) -> None:
    with pytest.raises(BadInput, match=f"{name}.safetensors: .*family"):
        sampled(*applied(run, text, name))


def test_a_file_of_another_kind(run: Any, tiny_checkpoint: Path) -> None:
    (run.base / "models/controlnet/checkpoint.safetensors").symlink_to(tiny_checkpoint)
    with pytest.raises(ModelFileError, match="holds no control network; it is a checkpoint"):
        loaded(run, "checkpoint")
    with pytest.raises(NotFound):
        loaded(run, "nothing")


def test_a_union_network_is_told_the_kind_of_its_picture(run: Any) -> None:
    network = loaded(run, "edges")
    told = run.node("SetUnionControlNetType", control_net=network, type="depth")
    assert told.kinds == (1,)
    assert run.node("SetUnionControlNetType", control_net=told, type="auto").kinds == ()


def test_boxes_of_several_nodes_come_together(run: Any, text: list[Conditioning]) -> None:
    _, clip, _ = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    assert isinstance(clip, TextEncoder)
    model = GligenModel(Weights(torch.nn.Identity, TensorSource(dict, {}), "gligen"))
    conditions = [*text, *text]
    for x in (0, 64):
        conditions = run.node(
            "GLIGENTextBoxApply", conditioning_to=conditions, clip=clip, gligen_textbox_model=model, text="a door",
            width=64, height=128, x=x, y=8,
        )  # fmt: skip
    first, second = (each.attachments for each in conditions)
    assert first == second, "conditions with the same boxes can run in one batch"
    (placed,) = first
    assert isinstance(placed, PlacedTexts)
    assert [tuple(box[1:]) for box in placed.boxes] == [(16, 8, 1, 0), (16, 8, 1, 8)]
    assert not text[0].attachments
