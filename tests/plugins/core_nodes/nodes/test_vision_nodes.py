"""Image encoders and style models from files, and how what they saw joins a text."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from comfykernel_core_nodes.diffusion.clip_vision import ClipVisionConfig, ClipVisionModel
from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.flux import Flux, FluxConfig
from comfykernel_core_nodes.diffusion.style_models import Redux
from comfykernel_sdk.errors import BadInput, ModelFileError

Weight = Callable[[str, Any], Tensor]
VISION = ClipVisionConfig(width=64, layers=2, heads=1, intermediate=64, patch=8, image=16, projection=32)


@pytest.fixture
def run(node_run: Callable[..., Any], weight_tensor: Weight) -> Any:
    run = node_run()
    networks = {
        "clip_vision/eye": ClipVisionModel(VISION),
        "style_models/redux": Redux(64, 48, 24),
        "style_models/wider": Redux(128, 48, 24),
    }
    for name, network in networks.items():
        path = run.base / f"models/{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        save_file({key: weight_tensor(key, tensor.shape) for key, tensor in network.state_dict().items()}, path)
    return run


@pytest.fixture
def seen(run: Any) -> Any:
    encoder = run.node("CLIPVisionLoader", clip_name="eye.safetensors")
    return run.node("CLIPVisionEncode", clip_vision=encoder, image=torch.rand(2, 20, 30, 3), crop="center")


def applied(run: Any, seen: Any, condition: Conditioning, name: str = "redux", **values: Any) -> Conditioning:
    style = run.node("StyleModelLoader", style_model_name=f"{name}.safetensors")
    given = {"strength": 1.0, "strength_type": "multiply", **values}
    (result,) = run.node(
        "StyleModelApply", conditioning=[condition], style_model=style, clip_vision_output=seen, **given
    )
    return result


def test_pictures_are_cropped_or_squeezed(run: Any) -> None:
    encoder = run.node("CLIPVisionLoader", clip_name="eye.safetensors")
    image = torch.rand(1, 16, 48, 3)
    whole, middle = (
        run.node("CLIPVisionEncode", clip_vision=encoder, image=image, crop=crop).image_embeds
        for crop in ("none", "center")
    )
    assert tuple(whole.shape) == (1, 32)
    assert not torch.allclose(whole, middle, atol=1e-3)
    cut = run.node("CLIPVisionEncode", clip_vision=encoder, image=image[:, :, 16:32], crop="none").image_embeds
    assert torch.allclose(cut, middle, atol=1e-5)


def test_a_style_is_read_after_the_text(run: Any, seen: Any) -> None:
    text = Conditioning(torch.zeros(1, 3, 24))
    plain = applied(run, seen, text).tokens
    assert tuple(plain.shape) == (1, 3 + 2 * 5, 24)
    assert torch.allclose(applied(run, seen, text, strength=0.5).tokens, plain * 0.5, atol=1e-6)
    assert tuple(text.tokens.shape) == (1, 3, 24)


def test_a_weighted_style_is_seen_by_text_and_picture(run: Any, seen: Any) -> None:
    text = Conditioning(torch.zeros(1, 3, 24))
    assert "attention_bias" not in applied(run, seen, text, strength_type="attn_bias").extra
    once = applied(run, seen, text, strength_type="attn_bias", strength=0.5)
    bias = once.extra["attention_bias"]
    assert isinstance(bias, Tensor)
    assert tuple(bias.shape) == (1, 14, 14)
    assert torch.allclose(bias[0, :3, 3:13], torch.tensor(math.log(0.5)))
    assert torch.allclose(bias[0, 13, 3:13], torch.tensor(math.log(0.5)))
    assert not bias[0, 3:13].any(), "the style's own tokens see everything as it is"
    assert not bias[0, :, :3].any()
    twice = applied(run, seen, once, strength_type="attn_bias", strength=2.0).extra["attention_bias"]
    assert isinstance(twice, Tensor)
    assert tuple(twice.shape) == (1, 24, 24)
    assert torch.allclose(twice[0, -1, 3:13], torch.tensor(math.log(0.5)))
    assert torch.allclose(twice[0, 5, 13:23], torch.tensor(math.log(2.0)))


def test_tokens_of_weight_zero_are_as_if_they_were_not_there(weight_tensor: Weight) -> None:
    network = Flux(FluxConfig(width=64, head_channels=32, hidden=64, double_blocks=1, single_blocks=1, context_width=24,
                              vector_width=8))  # fmt: skip
    network.load_state_dict({name: weight_tensor(name, tensor.shape) for name, tensor in network.state_dict().items()})
    text, style = torch.randn(1, 3, 24), torch.randn(1, 2, 24)
    bias = torch.zeros(1, 6, 6)
    bias[:, [0, 1, 2, 5], 3:5] = -math.inf
    given = {"x": torch.randn(1, 16, 4, 6), "timesteps": torch.tensor([0.5]), "y": torch.randn(1, 8),
             "guidance": torch.tensor([3.5])}  # fmt: skip
    with torch.inference_mode():
        without = network(context=text, **given)
        both = network(context=torch.cat([text, style], dim=1), attention_bias=bias, **given)
        seen = network(context=torch.cat([text, style], dim=1), **given)
    assert torch.allclose(without, both, atol=1e-5)
    assert not torch.allclose(without, seen, atol=1e-3)


def test_references_stand_where_the_method_says(weight_tensor: Weight) -> None:
    network = Flux(FluxConfig(width=64, head_channels=32, hidden=64, double_blocks=1, single_blocks=1, context_width=24,
                              vector_width=8))  # fmt: skip
    network.load_state_dict({name: weight_tensor(name, tensor.shape) for name, tensor in network.state_dict().items()})
    references = [torch.randn(1, 16, 4, 4), torch.randn(1, 16, 4, 4)]
    given = {"x": torch.randn(1, 16, 4, 6), "timesteps": torch.tensor([0.5]), "y": torch.randn(1, 8),
             "context": torch.randn(1, 3, 24), "guidance": torch.tensor([3.5])}  # fmt: skip
    with torch.inference_mode():
        made = [
            network(references=references, reference_method=method, **given) for method in ("offset", "index", "uxo")
        ]
        usual = network(references=references, **given)
    assert torch.equal(made[0], usual)
    assert not torch.allclose(made[0], made[1], atol=1e-4)
    assert not torch.allclose(made[1], made[2], atol=1e-4)


def test_what_does_not_belong_together_is_told(run: Any, seen: Any) -> None:
    with pytest.raises(BadInput, match="for images of width 128, the image encoder gives 64"):
        applied(run, seen, Conditioning(torch.zeros(1, 3, 24)), name="wider")
    with pytest.raises(BadInput, match="tokens of width 24, the text's have 77"):
        applied(run, seen, Conditioning(torch.zeros(1, 3, 77)))
    models = run.base / "models"
    (models / "clip_vision/redux.safetensors").symlink_to(models / "style_models/redux.safetensors")
    with pytest.raises(ModelFileError, match=r"redux\.safetensors: holds no image encoder; it is a style model"):
        run.node("CLIPVisionLoader", clip_name="redux.safetensors")


def test_pictures_for_unclip_add_up(run: Any, seen: Any) -> None:
    plain = [Conditioning(torch.zeros(1, 3, 24))]
    same = run.node(
        "unCLIPConditioning", conditioning=plain, clip_vision_output=seen, strength=0.0, noise_augmentation=0.0
    )
    assert same is plain
    twice = plain
    for _ in range(2):
        twice = run.node(
            "unCLIPConditioning", conditioning=twice, clip_vision_output=seen, strength=0.5, noise_augmentation=0.1
        )
    pictures = twice[0].extra["unclip_conditioning"]
    assert [(tuple(each.embeds.shape), each.strength, each.noise_augmentation) for each in pictures] == [
        ((2, 32), 0.5, 0.1)
    ] * 2
