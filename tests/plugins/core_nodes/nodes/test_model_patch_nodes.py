"""USO's projector: the style of a picture, seen by SigLIP, before the text of a Flux model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from comfykernel_core_nodes.diffusion.checkpoints import diffusion_model
from comfykernel_core_nodes.diffusion.clip_vision import ClipVisionConfig, ClipVisionModel
from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.families.flux import Flux1
from comfykernel_core_nodes.diffusion.flux import Flux, FluxConfig
from comfykernel_core_nodes.diffusion.model_header import Header
from comfykernel_core_nodes.diffusion.style_projection import StyleProjection
from comfykernel_core_nodes.diffusion.weight_files import open_weights
from comfykernel_sdk.errors import BadInput, ModelFileError

SIGLIP = ClipVisionConfig(
    width=32,
    layers=20,
    heads=1,
    intermediate=32,
    patch=8,
    image=16,
    activation="gelu_tanh",
    projection=None,
    siglip=True,
)
FLUX = FluxConfig(
    width=64, head_channels=32, hidden=64, double_blocks=1, single_blocks=1, context_width=24, vector_width=8
)


@pytest.fixture
def run(node_run: Callable[..., Any], weight_tensor: Callable[..., Tensor]) -> Any:
    run = node_run()
    networks = {
        "clip_vision/siglip": ("", ClipVisionModel(SIGLIP)),
        "clip_vision/clip": ("", ClipVisionModel(ClipVisionConfig(32, 2, 1, 32, 8, 16, projection=16))),
        "model_patches/uso": ("feature_embedder.", StyleProjection(4, 3, 32, 64)),
        "diffusion_models/flux": ("", Flux(FLUX)),
    }
    for name, (prefix, network) in networks.items():
        path = run.base / f"models/{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        tensors = {prefix + key: weight_tensor(key, tensor.shape) for key, tensor in network.state_dict().items()}
        save_file(tensors, path)
    save_file({"controlnet_blocks.0.y_rms.weight": torch.ones(2)}, run.base / "models/model_patches/qwen.safetensors")
    return run


@pytest.fixture
def flux(run: Any) -> DiffusionModel:
    plan = Flux1().diffusion_plan(Header(open_weights(run.base / "models/diffusion_models/flux.safetensors")))
    assert plan is not None
    return diffusion_model(plan, "flux")


def seen(run: Any, encoder: str = "siglip", *, shade: float = 0.2) -> Any:
    loaded = run.node("CLIPVisionLoader", clip_name=f"{encoder}.safetensors")
    return run.node("CLIPVisionEncode", clip_vision=loaded, image=torch.full((1, 16, 16, 3), shade), crop="center")


def styled(run: Any, model: DiffusionModel, seen: Any) -> DiffusionModel:
    patch = run.node("ModelPatchLoader", name="uso.safetensors")
    result: DiffusionModel = run.node("USOStyleReference", model=model, model_patch=patch, clip_vision_output=seen)
    return result


def sampled(run: Any, model: DiffusionModel) -> Tensor:
    text = [Conditioning(torch.ones(1, 3, 24), torch.ones(1, 8))]
    samples: Tensor = run.node(
        "KSampler", model=model, seed=1, steps=1, cfg=1.0, sampler_name="euler", scheduler="simple", positive=text,
        negative=text, latent_image={"samples": torch.zeros(1, 16, 8, 8)}, denoise=1.0,
    )["samples"]  # fmt: skip
    return samples


def test_the_picture_decides_the_style(run: Any, flux: DiffusionModel) -> None:
    dark, light = (sampled(run, styled(run, flux, seen(run, shade=shade))) for shade in (0.1, 0.9))
    plain = sampled(run, flux)
    assert not torch.allclose(plain, dark, atol=1e-4)
    assert not torch.allclose(dark, light, atol=1e-4)
    twice = styled(run, styled(run, flux, seen(run, shade=0.1)), seen(run, shade=0.9))
    assert not torch.allclose(sampled(run, twice), light, atol=1e-4)
    assert torch.equal(sampled(run, flux), plain)


def test_what_does_not_belong_together_is_told(run: Any, flux: DiffusionModel) -> None:
    with pytest.raises(BadInput, match=r"uso\.safetensors is for a SigLIP encoder of at least 20 layers"):
        styled(run, flux, seen(run, "clip"))
    with pytest.raises(ModelFileError, match=r"qwen\.safetensors: .*control network for Qwen-Image"):
        run.node("ModelPatchLoader", name="qwen.safetensors")
    patch = run.node("ModelPatchLoader", name="uso.safetensors")
    with pytest.raises(BadInput, match=r"uso\.safetensors is USO's for Flux\.1, the model is flux; expected"):
        run.node("QwenImageDiffsynthControlnet", model=flux, model_patch=patch, vae=None, image=None, strength=1.0)
