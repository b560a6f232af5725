"""Image encoders, style models and control networks in the hands of packs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from comfykernel_compat_comfyui import peer_names
from comfykernel_compat_comfyui.class_nodes.borders import from_pack, to_pack
from comfykernel_compat_comfyui.diffusion_bridge.forms import install_forms
from comfykernel_compat_comfyui.missing_names import NotProvided
from comfykernel_compat_comfyui.shims.comfy import clip_vision, controlnet, sd
from comfykernel_core_nodes.diffusion.clip_vision import ClipVisionConfig, ClipVisionModel
from comfykernel_core_nodes.diffusion.controlnet_unet import ControlUNet, ControlUNetConfig
from comfykernel_core_nodes.diffusion.style_models import Redux
from comfykernel_core_nodes.diffusion.unet_config import UNetConfig

VISION = ClipVisionConfig(width=64, layers=2, heads=1, intermediate=64, patch=8, image=16, projection=32)
UNET = UNetConfig(
    model_channels=32, num_res_blocks=(1, 1), channel_mult=(1, 2), transformer_depth=(1, 1),
    transformer_depth_output=(1, 1, 1, 1), context_dim=64,
)  # fmt: skip
HINT = torch.linspace(0, 1, 16 * 16 * 3).reshape(1, 16, 16, 3)


@pytest.fixture(scope="module", autouse=True)
def names_of_packs() -> Iterator[None]:
    peer_names.install()
    install_forms()
    yield
    peer_names.uninstall()


def saved(folder: Path, network: torch.nn.Module) -> str:
    """A file of random weights, the same at each run."""
    random = torch.Generator().manual_seed(1)
    weights = {
        name: torch.randn(tensor.shape, generator=random) / max(1, tensor[0].numel()) ** 0.5
        for name, tensor in network.state_dict().items()
    }
    path = folder / f"{type(network).__name__}.safetensors"
    save_file(weights, path)
    return str(path)


def test_an_image_encoder_gives_what_its_node_gives(tmp_path: Path) -> None:
    encoder = clip_vision.load(saved(tmp_path, ClipVisionModel(VISION)))
    image = torch.rand(2, 20, 30, 3, generator=torch.Generator().manual_seed(2))
    output = encoder.encode_image(image)
    own: Any = from_pack(encoder)
    expected = own.encode(image)
    for name in ("last_hidden_state", "penultimate_hidden_states", "image_embeds"):
        assert torch.equal(output[name], getattr(expected, name))
        assert getattr(output, name) is output[name]
    prepared = clip_vision.clip_preprocess(image, size=encoder.image_size, mean=encoder.image_mean)
    last, earlier, embeds, _ = encoder.model(pixel_values=prepared, intermediate_output=-2)
    assert torch.allclose(embeds.float(), expected.image_embeds, atol=1e-4)
    assert torch.allclose(earlier.float(), expected.penultimate_hidden_states, atol=1e-4)
    assert last.shape == expected.last_hidden_state.shape
    with pytest.raises(NotProvided, match="layer 3"):
        encoder.model(pixel_values=prepared, intermediate_output=3)


def test_what_an_encoder_saw_crosses_the_border_both_ways(tmp_path: Path) -> None:
    encoder = clip_vision.load(saved(tmp_path, ClipVisionModel(VISION)))
    output = encoder.encode_image(HINT)
    own: Any = from_pack(output)
    assert own.image_embeds is output.image_embeds
    back: Any = to_pack(own)
    assert isinstance(back, clip_vision.Output)
    made = clip_vision.Output()
    made["last_hidden_state"] = output.last_hidden_state
    style = sd.load_style_model(saved(tmp_path, Redux(64, 48, 24)))
    expected = from_pack(style).tokens(own)  # type: ignore[attr-defined]
    assert torch.equal(style.get_cond(made), expected)


def test_control_networks_of_packs_act_in_nodes_of_comfykernel(tmp_path: Path) -> None:
    path = saved(tmp_path, ControlUNet(ControlUNetConfig(UNET)))
    first, second = controlnet.load_controlnet(path), controlnet.load_controlnet(path)
    first.set_cond_hint(HINT.movedim(-1, 1), 0.5, (0.1, 0.9))
    second = second.copy().set_cond_hint(HINT.movedim(-1, 1)).set_previous_controlnet(first)
    tokens = torch.zeros(1, 3, 64)
    sides = [[[tokens, {"control": second, "control_apply_to_uncond": False}]] for _ in range(2)]
    positive, negative = (from_pack(side)[0] for side in sides)  # type: ignore[index]
    assert [control.strength for control in positive.controls] == [0.5, 1.0]
    assert (positive.controls[0].start_percent, positive.controls[0].end_percent) == (0.1, 0.9)
    assert torch.equal(positive.controls[1].image, HINT)
    assert not positive.controls[0].both_sides
    assert "control" not in positive.extra
    assert all(a is b for a, b in zip(positive.controls, negative.controls, strict=True)), "both sides share a batch"


def test_control_networks_of_comfykernel_stay_behind_those_of_packs(tmp_path: Path) -> None:
    network = controlnet.load_controlnet(saved(tmp_path, ControlUNet(ControlUNetConfig(UNET))))
    own: Any = from_pack(network)
    assert isinstance(to_pack(own), controlnet.ControlNet)
    applied = own.applied(HINT, strength=0.25)
    (condition,) = from_pack([[torch.zeros(1, 3, 64), {}]])  # type: ignore[misc]
    carried = type(condition)(tokens=condition.tokens, controls=(applied,))
    pair: Any = to_pack(carried)
    network.set_cond_hint(HINT.movedim(-1, 1), 2.0).set_previous_controlnet(pair[1]["control"])
    pair[1]["control"] = network
    (both,) = from_pack([pair])  # type: ignore[misc]
    assert [control.strength for control in both.controls] == [0.25, 2.0]
    assert both.controls[0] is applied


def test_kinds_of_hints_and_networks_of_their_own() -> None:
    with pytest.raises(NotProvided, match="ControlNet"):
        controlnet.ControlNet(torch.nn.Linear(1, 1))

    class Own(controlnet.ControlBase):
        pass

    assert Own().get_models() == []
