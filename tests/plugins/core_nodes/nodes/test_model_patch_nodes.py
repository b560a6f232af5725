"""Nodes that change networks: what they do at their neutral values, that seeds decide them, what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.latent_formats import LatentFormat
from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_core_nodes.diffusion.weights import TensorSource, Weights
from comfykernel_sdk.errors import BadInput, ModelFileError
from comfykernel_sdk.families import SamplingSpec

SHRINK = {
    "block_number": 1, "downscale_factor": 2.0, "start_percent": 0.0, "end_percent": 1.0, "downscale_after_skip": True,
    "downscale_method": "bislerp", "upscale_method": "bicubic",
}  # fmt: skip
TILES = {"tile_size": 32, "swap_size": 1, "max_depth": 0, "scale_depth": False}
FACTORS = {"q": 1.0, "k": 1.0, "v": 1.0, "out": 1.0}
OUTPUTS = {"self_structural": 1.0, "self_temporal": 1.0, "cross_structural": 1.0, "cross_temporal": 1.0}


class Patched:
    """A run with a loaded model and two conditions."""

    def __init__(self, run: Any) -> None:
        self.run = run
        self.node = run.node
        self.model, self.clip, _ = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
        self.positive = run.node("CLIPTextEncode", text="a red circle", clip=self.clip)
        self.negative = run.node("CLIPTextEncode", text="", clip=self.clip)

    def sampled(self, model: Any = None, *, seed: int = 1, height: int = 8, width: int = 8) -> torch.Tensor:
        done = self.node(
            "KSampler", model=model or self.model, seed=seed, steps=2, cfg=2.0, sampler_name="euler",
            scheduler="normal", positive=self.positive, negative=self.negative, denoise=1.0,
            latent_image={"samples": torch.zeros(1, 4, height, width)},
        )  # fmt: skip
        samples: torch.Tensor = done["samples"]
        return samples

    def patched(self, id: str, **inputs: object) -> Any:
        return self.node(id, model=self.model, **inputs)


@pytest.fixture
def patched(node_run: Callable[..., Any], tiny_checkpoint: Path) -> Patched:
    run = node_run()
    (run.base / "models/checkpoints/tiny.safetensors").symlink_to(tiny_checkpoint)
    (run.base / "models/hypernetworks").mkdir()
    return Patched(run)


@pytest.mark.parametrize(
    ("id", "neutral", "changes"),
    [
        ("FreeU", {"b1": 1.0, "b2": 1.0, "s1": 1.0, "s2": 1.0}, {"b2": 1.3}),
        ("FreeU_V2", {"b1": 1.0, "b2": 1.0, "s1": 1.0, "s2": 1.0}, {"s2": 0.2}),
        ("HyperTile", {**TILES, "tile_size": 2048}, {"tile_size": 32}),
        ("TomePatchModel", {"ratio": 0.0}, {"ratio": 0.5}),
        ("PatchModelAddDownscale", {**SHRINK, "downscale_factor": 1.0}, {"downscale_factor": 2.0}),
        ("PatchModelAddDownscale", {**SHRINK, "block_number": 32}, {"block_number": 1, "downscale_after_skip": False}),
        ("UNetSelfAttentionMultiply", FACTORS, {"v": 1.5}),
        ("UNetCrossAttentionMultiply", FACTORS, {"out": 0.5}),
        ("UNetTemporalAttentionMultiply", {**OUTPUTS, "self_temporal": 3.0}, {"self_structural": 0.5}),
    ],
)
def test_neutral_values_change_nothing_and_others_do(
    patched: Patched, id: str, neutral: dict[str, Any], changes: dict[str, Any]
) -> None:
    plain = patched.sampled()
    torch.testing.assert_close(patched.sampled(patched.patched(id, **neutral)), plain, rtol=1e-4, atol=1e-3)
    changed = patched.sampled(patched.patched(id, **{**neutral, **changes}))
    assert not torch.allclose(changed, plain, atol=1e-2)
    assert torch.isfinite(changed).all()
    # The handle that was patched is as it was.
    assert torch.equal(patched.sampled(), plain)


@pytest.mark.parametrize(("height", "width"), [(9, 7), (8, 12)])
def test_patches_take_pictures_of_any_sides(patched: Patched, height: int, width: int) -> None:
    model = patched.patched("TomePatchModel", ratio=0.5)
    model = patched.node("HyperTile", model=model, **TILES)
    model = patched.node("PatchModelAddDownscale", model=model, **SHRINK)
    model = patched.node("FreeU_V2", model=model, b1=1.2, b2=1.2, s1=0.9, s2=0.9)
    assert torch.isfinite(patched.sampled(model, height=height, width=width)).all()


def test_chance_follows_the_seed(patched: Patched) -> None:
    model = patched.patched("TomePatchModel", ratio=0.5)
    first = patched.sampled(model)
    torch.randn(7)
    assert torch.equal(patched.sampled(model), first)


def test_factors_of_a_text_model(patched: Patched) -> None:
    plain = patched.positive[0].tokens
    same = patched.node("CLIPAttentionMultiply", clip=patched.clip, **FACTORS)
    other = patched.node("CLIPAttentionMultiply", clip=patched.clip, **{**FACTORS, "v": 0.5})
    assert torch.equal(patched.node("CLIPTextEncode", text="a red circle", clip=same)[0].tokens, plain)
    assert not torch.allclose(patched.node("CLIPTextEncode", text="a red circle", clip=other)[0].tokens, plain)
    with pytest.raises(BadInput, match="no text model"):
        patched.node("CLIPAttentionMultiply", clip=None, **FACTORS)


def test_hypernetworks(patched: Patched, normal_tensor: Any) -> None:
    layers = [{"0.weight": normal_tensor(f"hyper/{n}", (64, 64)) * 0.1, "0.bias": torch.zeros(64)} for n in range(2)]
    torch.save({64: layers, "activation_func": "linear"}, patched.run.base / "models/hypernetworks/style.pt")
    load = {"hypernetwork_name": "style.pt"}
    plain = patched.sampled()
    assert torch.equal(patched.sampled(patched.patched("HypernetworkLoader", strength=0.0, **load)), plain)
    changed = patched.sampled(patched.patched("HypernetworkLoader", strength=1.0, **load))
    assert not torch.allclose(changed, plain, atol=1e-2)
    torch.save({"weights": torch.zeros(2)}, patched.run.base / "models/hypernetworks/other.pt")
    with pytest.raises(ModelFileError, match="holds no hypernetwork"):
        patched.patched("HypernetworkLoader", strength=1.0, hypernetwork_name="other.pt")


@pytest.mark.parametrize(
    ("id", "inputs"),
    [
        ("FreeU", {"b1": 1.0, "b2": 1.0, "s1": 1.0, "s2": 1.0}),
        ("HyperTile", TILES),
        ("TomePatchModel", {"ratio": 0.5}),
        ("PatchModelAddDownscale", SHRINK),
    ],
)
def test_methods_of_unets_refuse_other_networks(patched: Patched, id: str, inputs: dict[str, Any]) -> None:
    weights: Weights[nn.Module] = Weights(nn.Identity, TensorSource(dict, {}), "other")
    sampling = ModelSampling.of(SamplingSpec("flow"))
    other = DiffusionModel(weights, sampling, LatentFormat(), lambda _condition, _run: {}, "another")
    with pytest.raises(BadInput, match=r"works on UNets .* family 'another'") as caught:
        patched.node(id, model=other, **inputs)
    assert caught.value.type == "wrong_model"


def test_the_attention_backend_falls_back_to_pytorch(patched: Patched, caplog: pytest.LogCaptureFixture) -> None:
    plain = patched.sampled()
    kitchen = patched.patched("ModelAttentionBackend", attention="comfy kitchen attention")
    assert "computed by PyTorch" in caplog.text
    assert torch.equal(patched.sampled(kitchen), plain)


def test_compiling_needs_a_compiler(patched: Patched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(BadInput, match="needs a C\\+\\+ compiler") as caught:
        patched.patched("TorchCompileModel", backend="inductor")
    assert caught.value.type == "no_compiler"
    with pytest.raises(BadInput, match="CUDA graphs need a CUDA device"):
        patched.patched("TorchCompileModel", backend="cudagraphs")
