"""Saved models: the published layouts, what is written about them, and that they give the same results again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from comfykernel_core_nodes.diffusion.checkpoints import load_checkpoint
from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_core_nodes.diffusion.parametrisation import Velocity
from comfykernel_sdk.errors import BadInput, Interrupted

FAMILIES = ("sd1", "sdxl", "sd3", "flux")


@pytest.fixture
def run(node_run: Callable[..., Any]) -> Any:
    return node_run()


@pytest.fixture
def loaded(run: Any, family_checkpoint: Callable[[str], Path]) -> Callable[[str], Any]:
    def load(family: str) -> Any:
        link = run.base / f"models/checkpoints/{family}.safetensors"
        if not link.exists():
            link.symlink_to(family_checkpoint(family))
        return run.node("CheckpointLoaderSimple", ckpt_name=f"{family}.safetensors")

    return load


def saved(run: Any, folder: str) -> list[str]:
    return sorted(path.name for path in (run.base / "output" / folder).iterdir())


def same_tensors(first: Path, second: Path) -> None:
    a, b = load_file(first), load_file(second)
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype
        assert torch.equal(a[name], b[name]), name


@pytest.mark.parametrize("family", FAMILIES)
def test_checkpoint_is_saved_as_it_was(
    run: Any, loaded: Callable[[str], Any], family_checkpoint: Callable[[str], Path], family: str
) -> None:
    model, clip, vae = loaded(family)
    run.node("CheckpointSave", model=model, clip=clip, vae=vae, filename_prefix="checkpoints/again")
    assert saved(run, "checkpoints") == ["again_00001_.safetensors"]
    same_tensors(run.base / "output/checkpoints/again_00001_.safetensors", family_checkpoint(family))


@pytest.mark.parametrize("family", FAMILIES)
def test_changed_models_give_the_same_after_saving_and_loading(
    run: Any, loaded: Callable[[str], Any], family: str
) -> None:
    """Loaded with the changes in its weights, not as patches over them."""
    model, clip, vae = loaded(family)
    half = run.node("ModelMergeSubtract", model1=model, model2=model, multiplier=0.25)
    model = run.node("ModelMergeAdd", model1=model, model2=half)
    clip = run.node("CLIPMergeSimple", clip1=clip, clip2=clip, ratio=0.5)
    run.node("CheckpointSave", model=model, clip=clip, vae=vae, filename_prefix="again")
    other = load_checkpoint(run.base / "output/again_00001_.safetensors")
    before, after = (run.node("CLIPTextEncode", text="a (cat:1.2)", clip=each)[0] for each in (clip, other.clip))
    assert torch.equal(before.tokens, after.tokens)
    results = [sampled(run, each, before) for each in (model, other.model)]
    torch.testing.assert_close(results[0], results[1], rtol=2e-2, atol=2e-2)
    assert not other.model.weights.patches


def sampled(run: Any, model: Any, condition: Any) -> Tensor:
    latent = {"samples": torch.zeros(1, model.latent_format.channels, 8, 8)}
    result = run.node(
        "KSampler", model=model, seed=1, steps=2, cfg=1.5, sampler_name="euler", scheduler="normal",
        positive=[condition], negative=[condition], latent_image=latent, denoise=1.0,
    )  # fmt: skip
    samples: Tensor = result["samples"]
    return samples


def test_names_count_on(run: Any, loaded: Callable[[str], Any]) -> None:
    model, _, _ = loaded("sd1")
    for _ in range(2):
        run.node("ModelSave", model=model, filename_prefix="diffusion_models/mine")
    assert saved(run, "diffusion_models") == ["mine_00001_.safetensors", "mine_00002_.safetensors"]
    names = load_file(run.base / "output/diffusion_models/mine_00001_.safetensors")
    assert all(name.startswith("model.diffusion_model.") for name in names)


def test_files_tell_what_made_them(run: Any, loaded: Callable[[str], Any]) -> None:
    model, clip, vae = loaded("sdxl")
    given = {"model": model, "clip": clip, "vae": vae, "filename_prefix": "x"}
    run.node("CheckpointSave", **given, prompt={"1": {}}, extra_pnginfo={"workflow": {"nodes": []}})
    with safe_open(run.base / "output/x_00001_.safetensors", "pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["prompt"]) == {"1": {}}
    assert json.loads(metadata["workflow"]) == {"nodes": []}
    assert {name: value for name, value in metadata.items() if name.startswith("modelspec.")} == {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.implementation": "sgm",
        "modelspec.architecture": "stable-diffusion-xl-v1-base",
        "modelspec.title": "x 1",
        "modelspec.predict_key": "epsilon",
    }


def test_metadata_may_be_left_out(node_run: Callable[..., Any], family_checkpoint: Callable[[str], Path]) -> None:
    run = node_run(disable_metadata=True)
    vae = load_checkpoint(family_checkpoint("sd1")).vae
    run.node("VAESave", vae=vae, filename_prefix="vae/a", prompt={"1": {}})
    with safe_open(run.base / "output/vae/a_00001_.safetensors", "pt") as file:
        assert not file.metadata()
        assert "decoder.conv_in.weight" in file.keys()  # noqa: SIM118 - no mapping


def test_text_models_are_saved_one_by_one(run: Any, loaded: Callable[[str], Any]) -> None:
    _, clip, _ = loaded("sdxl")
    run.node("CLIPSave", clip=clip, filename_prefix="clip/text")
    assert saved(run, "clip") == ["text_clip_g_00001_.safetensors", "text_clip_l_00001_.safetensors"]
    names = load_file(run.base / "output/clip/text_clip_g_00001_.safetensors").keys()
    assert {"text_model.embeddings.token_embedding.weight", "text_projection.weight"} <= names


def test_velocity_is_marked(run: Any, loaded: Callable[[str], Any]) -> None:
    model, clip, vae = loaded("sd1")
    model = model.with_sampling(ModelSampling.velocity(zero_terminal_snr=True))
    run.node("CheckpointSave", model=model, clip=clip, vae=vae, filename_prefix="v")
    again = load_checkpoint(run.base / "output/v_00001_.safetensors").model
    assert isinstance(again.sampling.parametrisation, Velocity)
    assert again.sampling.sigma_max == pytest.approx(model.sampling.sigma_max)


def test_text_models_of_another_family_are_told(run: Any, loaded: Callable[[str], Any]) -> None:
    (model, _, vae), (_, clip, _) = loaded("sd1"), loaded("flux")
    with pytest.raises(BadInput, match="family sd1, whose checkpoints hold the text models l; this CLIP has t5xxl"):
        run.node("CheckpointSave", model=model, clip=clip, vae=vae, filename_prefix="x")
    with pytest.raises(BadInput, match="no weights"):
        run.node("VAESave", vae=run.node("VAELoader", vae_name="pixel_space"), filename_prefix="x")
    assert saved(run, "") == []


def test_a_failure_leaves_no_file(run: Any, loaded: Callable[[str], Any]) -> None:
    model, _, _ = loaded("sd1")
    run.context.cancel_at = 2
    with pytest.raises(Interrupted):
        run.node("ModelSave", model=model, filename_prefix="x")
    assert saved(run, "") == []


def test_merging_computes_nothing_before_use(run: Any, loaded: Callable[[str], Any]) -> None:
    first, second = loaded("sd1")[0], loaded("sd1")[0]
    merged = run.node("ModelMergeSimple", model1=first, model2=second, ratio=0.5)
    assert "tensors" not in vars(first.weights.source)
    assert merged.weights.source is first.weights.source
    assert len(merged.weights.patches) == len(first.weights.source.shapes)


def value(model: Any, name: str) -> Tensor:
    tensor: Tensor = model.weights.patched(name, torch.device("cpu"), torch.float32)
    return tensor


def test_sums_and_differences_of_weights(run: Any, loaded: Callable[[str], Any]) -> None:
    first = loaded("sd1")[0]
    second = run.node("ModelMergeSubtract", model1=first, model2=first, multiplier=0.0)
    name = "middle_block.0.in_layers.2.weight"
    plain = value(first, name)
    for node, more, factor in (
        ("ModelMergeSimple", {"ratio": 0.25}, 0.25),
        ("ModelMergeSubtract", {"multiplier": 2.0}, 2.0),
        ("ModelMergeAdd", {}, 1.0),
    ):
        merged = run.node(node, model1=first, model2=second, **more)
        torch.testing.assert_close(value(merged, name), plain * factor)
    doubled = run.node("ModelMergeAdd", model1=first, model2=first)
    torch.testing.assert_close(value(run.node("ModelMergeAdd", model1=first, model2=doubled), name), plain * 3)


def test_ratios_by_block(run: Any, loaded: Callable[[str], Any]) -> None:
    first = loaded("sd1")[0]
    nothing = run.node("ModelMergeSubtract", model1=first, model2=first, multiplier=0.0)
    given = {"model1": first, "model2": nothing}

    def shares(merged: Any) -> list[float]:
        names = ("time_embed.0.weight", "input_blocks.0.0.weight", "middle_block.0.in_layers.2.weight", "out.2.weight")
        return [round(float(value(merged, name).norm() / value(first, name).norm()), 3) for name in names]

    blocks = run.node("ModelMergeBlocks", **given, input=0.1, middle=0.2, out=0.3)
    assert shares(blocks) == [0.1, 0.1, 0.2, 0.3]
    from comfykernel_core_nodes.nodes.pack import core_pack

    inputs = [spec.name for spec in core_pack().nodes["ModelMergeSD1"].spec.inputs if spec.type == "FLOAT"]
    ratios = dict.fromkeys(inputs, 1.0) | {"time_embed.": 0.4, "input_blocks.0.": 0.5, "middle_block.0.": 0.6}
    assert shares(run.node("ModelMergeSD1", **given, **ratios)) == [0.4, 0.5, 0.6, 1.0]


def test_models_without_common_weights(
    run: Any, loaded: Callable[[str], Any], caplog: pytest.LogCaptureFixture
) -> None:
    (sd1, clip, _), (flux, other, _) = loaded("sd1"), loaded("flux")
    with pytest.raises(BadInput, match="no weights of one name and shape"):
        run.node("ModelMergeSimple", model1=sd1, model2=flux, ratio=0.5)
    merged = run.node("ModelMergeSimple", model1=sd1, model2=loaded("sdxl")[0], ratio=0.5)
    assert "weights are not merged" in caplog.text
    assert set(merged.weights.patches) < set(sd1.weights.source.shapes)
    assert run.node("CLIPMergeAdd", clip1=clip, clip2=other).parts.keys() == {"l"}


def lora_of(run: Any, name: str, **given: Any) -> dict[str, Tensor]:
    inputs = {"filename_prefix": name, "rank": 4, "lora_type": "standard", "bias_diff": True} | given
    run.node("LoraSave", **inputs)
    return load_file(run.base / f"output/{name}_00001_.safetensors")


def test_lora_of_a_difference(run: Any, loaded: Callable[[str], Any]) -> None:
    """What was learned in few dimensions comes back through a LoRA of as many."""
    model = loaded("sd1")[0]
    name = "middle_block.1.transformer_blocks.0.attn1.to_q"
    up, down = torch.linspace(-1, 1, 128).view(64, 2), torch.linspace(1, -1, 128).view(2, 64)
    lora = {f"diffusion_model.{name}.lora_up.weight": up, f"diffusion_model.{name}.lora_down.weight": down}
    trained = run.node("LoraModelLoader", model=model, lora=lora, strength_model=1.0)
    difference = run.node("ModelMergeSubtract", model1=trained, model2=model, multiplier=1.0)
    tensors = lora_of(run, "extracted", model_diff=difference)
    assert tensors[f"diffusion_model.{name}.lora_up.weight"].shape == (64, 4)
    assert tensors["diffusion_model.out.2.lora_down.weight"].shape == (4, 32, 3, 3)
    assert tensors["diffusion_model.out.2.diff_b"].dtype == torch.float16
    again = run.node("LoraModelLoader", model=model, lora=tensors, strength_model=1.0)
    expected = value(trained, f"{name}.weight") - value(model, f"{name}.weight")
    found = value(again, f"{name}.weight") - value(model, f"{name}.weight")
    # The largest hundredth of the values is clamped.
    assert float((found - expected).norm() / expected.norm()) < 0.1


def test_whole_differences_and_texts(run: Any, loaded: Callable[[str], Any]) -> None:
    model, clip, _ = loaded("sd1")
    difference = run.node("ModelMergeSubtract", model1=model, model2=model, multiplier=0.5)
    tensors = lora_of(run, "whole", model_diff=difference, lora_type="full_diff", bias_diff=False)
    assert all(name.endswith(".diff") for name in tensors)
    texts = run.node("CLIPMergeSubtract", clip1=clip, clip2=clip, multiplier=0.5)
    named = lora_of(run, "text", text_encoder_diff=texts, rank=1)
    assert "text_encoders.clip_l.transformer.text_model.encoder.layers.0.mlp.fc1.lora_up.weight" in named


def test_loras_that_can_not_be(run: Any, loaded: Callable[[str], Any]) -> None:
    model = loaded("sd1")[0]
    with pytest.raises(BadInput, match="no difference to save"):
        lora_of(run, "none")
    with pytest.raises(BadInput, match="None of the LoRA's 1 tensors fits"):
        run.node("LoraModelLoader", model=model, lora={"x.lora_up.weight": torch.zeros(1)}, strength_model=1.0)
    broken = {"diffusion_model.out.2.diff": torch.full((4, 32, 3, 3), float("nan"))}
    damaged = run.node("LoraModelLoader", model=model, lora=broken, strength_model=1.0)
    with pytest.raises(BadInput, match=r"out\.2\.weight' has no singular values"):
        lora_of(run, "nan", model_diff=damaged)
    assert saved(run, "") == []
