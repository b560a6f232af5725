"""Prompts that can't work, run by the engine: each ends at its node with a sentence and a hint that help."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from comfykernel_core_nodes.diffusion.gligen import Gligen
from comfykernel_core_nodes.nodes.pack import core_pack
from comfykernel_sdk.errors import BadInput, ModelFileError
from comfykernel_sdk.events import ExecutionFailed
from comfykernel_sdk.settings import PathSettings, Settings
from comfykernel_sdk.testing import GraphRun, run_graph
from comfykernel_storage_fs.plugin import make_storage

NAN = float("nan")
UNET = "model.diffusion_model."
TEXT = "cond_stage_model.transformer.text_model."
KINDS = ("checkpoints", "loras", "embeddings", "hypernetworks", "gligen")
Graph = dict[str, dict[str, Any]]


class RunsCode:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("exit 1",)


def node(id: str, **inputs: object) -> dict[str, Any]:
    return {"class_type": id, "inputs": inputs}


def loaded(name: str) -> dict[str, Any]:
    return node("CheckpointLoaderSimple", ckpt_name=name)


def spoiled(tensors: Mapping[str, Tensor], name: str, factor: float = NAN) -> dict[str, Tensor]:
    return {**tensors, name: tensors[name] * factor}


def text_to_image(**changes: dict[str, Any]) -> Graph:
    """A small run; a change is a node in place of another, or inputs of one that is there."""
    graph = {
        "model": loaded("sd1.safetensors"),
        "other": loaded("sdxl.safetensors"),
        "prompt": node("CLIPTextEncode", text="a cat", clip=["model", 1]),
        "blank": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "sampler": node(
            "KSampler", model=["model", 0], seed=1, steps=1, cfg=2.0, sampler_name="euler", scheduler="normal",
            positive=["prompt", 0], negative=["prompt", 0], latent_image=["blank", 0], denoise=1.0,
        ),
        "image": node("VAEDecode", samples=["sampler", 0], vae=["model", 2]),
        "saved": node("SaveImage", images=["image", 0], filename_prefix="x"),
    }  # fmt: skip
    for name, change in changes.items():
        if "class_type" in change:
            graph[name] = change
        else:
            graph[name]["inputs"].update(change)
    return graph


def over_sigmas(sigmas: str, sampler: str) -> Graph:
    return text_to_image(
        levels=node("ManualSigmas", sigmas=sigmas),
        method=node("KSamplerSelect", sampler_name=sampler),
        sampler=node(
            "SamplerCustom", model=["model", 0], add_noise=True, noise_seed=1, cfg=2.0, positive=["prompt", 0],
            negative=["prompt", 0], sampler=["method", 0], sigmas=["levels", 0], latent_image=["blank", 0],
        ),
    )  # fmt: skip


def with_lora(name: str) -> Graph:
    lora = node("LoraLoaderModelOnly", model=["model", 0], lora_name=name, strength_model=1.0)
    return text_to_image(lora=lora, sampler={"model": ["lora", 0]})


def with_hypernetwork(name: str) -> Graph:
    change = node("HypernetworkLoader", model=["model", 0], hypernetwork_name=name, strength=1.0)
    return text_to_image(change=change, sampler={"model": ["change", 0]})


def with_box(file: str) -> Graph:
    box = node(
        "GLIGENTextBoxApply", conditioning_to=["prompt", 0], clip=["model", 1], gligen_textbox_model=["gligen", 0],
        text="a door", width=64, height=64, x=0, y=0,
    )  # fmt: skip
    return text_to_image(gligen=node("GLIGENLoader", gligen_name=file), box=box, sampler={"positive": ["box", 0]})


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, family_checkpoint: Callable[[str], Path]) -> Path:
    """Models, sound and spoiled."""
    base = tmp_path_factory.mktemp("bad")
    for folder in (*(f"models/{kind}" for kind in KINDS), "input", "output", "temp"):
        (base / folder).mkdir(parents=True)
    models = base / "models"
    for family in ("sd1", "sdxl"):
        (models / f"checkpoints/{family}.safetensors").symlink_to(family_checkpoint(family))
    sd1 = load_file(family_checkpoint("sd1"))
    checkpoints = {
        "nan_text": spoiled(sd1, f"{TEXT}final_layer_norm.weight"),
        "nan_decoder": spoiled(sd1, "first_stage_model.decoder.conv_out.weight"),
        "empty_layer": {**sd1, f"{UNET}input_blocks.0.0.weight": torch.zeros(0, 4, 3, 3)},
    }
    for name, tensors in checkpoints.items():
        save_file(tensors, models / f"checkpoints/{name}.safetensors")
    (models / "checkpoints/text.ckpt").write_text("hello world" * 99)
    (models / "checkpoints/empty.ckpt").write_bytes(b"")
    torch.save({"state_dict": {"x": RunsCode()}}, models / "checkpoints/code.ckpt")
    module = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k"
    low_rank = {f"{module}.lora_up.weight": torch.ones(64, 2), f"{module}.lora_down.weight": torch.ones(2, 64)}
    loras = {
        "other_family": {"diffusion_model.joint_blocks.0.x_block.attn.qkv.lora_up.weight": torch.ones(2, 2)},
        "nan": spoiled(low_rank, f"{module}.lora_up.weight"),
        "half_kronecker": {f"{module}.lokr_w1": torch.ones(2, 2), f"{module}.lokr_w2_a": torch.ones(2, 2)},
        "wide_hadamard": {f"{module}.hada_w{n}_{k}": torch.ones(320, 320) for n in "12" for k in "ab"},
    }
    for name, tensors in loras.items():
        save_file(tensors, models / f"loras/{name}.safetensors")
    save_file({"emb_params": torch.full((1, 64), NAN)}, models / "embeddings/nan.safetensors")
    layers: dict[str, list[object]] = {
        "narrow": [{"0.weight": torch.ones(8, 64), "0.bias": torch.ones(8)}] * 2,
        "no_bias": [{"0.weight": torch.ones(64, 64)}] * 2,
        "empty": [],
        "words": ["x", 3],
    }
    for name, pair in layers.items():
        torch.save({64: pair}, models / f"hypernetworks/{name}.pt")
    network = Gligen(768, 768, {"input_1": (320, 768)}).state_dict()
    block = "input_blocks.1.1.transformer_blocks.0.fuser."
    save_file(
        {name.replace("gates.input_1.", block): torch.zeros_like(tensor) for name, tensor in network.items()},
        models / "gligen/wide.safetensors",
    )
    mark = {"latent_format_version_0": torch.zeros(0)}
    save_file({"latent_tensor": torch.full((1, 4, 8, 8), NAN), **mark}, base / "input/nan.latent")
    save_file({"latent_tensor": torch.zeros(1, 4, 0, 8), **mark}, base / "input/nothing.latent")
    return base


def run(base: Path, graph: Graph) -> GraphRun:
    settings = Settings(paths=PathSettings(base=str(base)))
    return run_graph(graph, nodes=core_pack().nodes.values(), settings=settings, storage=make_storage(settings))


def decoded(latent: str) -> Graph:
    return text_to_image(blank=node("LoadLatent", latent=latent), image={"samples": ["blank", 0]})


OUTSIDE = {"width": 64, "height": 64, "x": 4096, "y": 4096}
OTHER_TEXT = {"clip": ["other", 1]}
TABLE: dict[str, tuple[Graph, str, str]] = {
    "condition of a wider family": (
        text_to_image(prompt=OTHER_TEXT), "sampler", r"positive condition has tokens of width 128; .*sd1\.safetensors"
    ),
    "condition of a narrower family": (
        text_to_image(sampler={"model": ["other", 0]}), "sampler", r"of width 64; .*sdxl\.safetensors takes width 128"
    ),
    "only the negative one": (
        text_to_image(wide=node("CLIPTextEncode", text="", clip=["other", 1]), sampler={"negative": ["wide", 0]}),
        "sampler", "The negative condition has tokens of width 128",
    ),
    "text model with NaN": (
        text_to_image(model=loaded("nan_text.safetensors")), "prompt", "has 1 tensors with NaN .*final_layer_norm"
    ),
    "decoder with NaN": (
        text_to_image(model=loaded("nan_decoder.safetensors")), "image", "has 1 tensors with NaN .*decoder.conv_out"
    ),
    "latent with NaN decoded": (decoded("nan.latent"), "image", "256 of 256 values of the latent are NaN"),
    "latent without content decoded": (decoded("nothing.latent"), "image", r"\[1, 4, 0, 8\] holds nothing to decode"),
    "embedding with NaN": (
        text_to_image(prompt={"text": "embedding:nan"}), "prompt", r"nan\.safetensors: has NaN or infinity in the rows"
    ),
    "layer without elements": (
        text_to_image(model=loaded("empty_layer.safetensors")), "model",
        r"is a diffusion model .* it has 'input_blocks\.0\.0\.weight' of shape \[0, 4, 3, 3\]",
    ),
    "text named as a pickle": (text_to_image(model=loaded("text.ckpt")), "model", "damaged, cut off, or holds"),
    "empty pickle": (text_to_image(model=loaded("empty.ckpt")), "model", "is 0 bytes long"),
    "pickle with code": (text_to_image(model=loaded("code.ckpt")), "model", r"asks for '\w+\.system', .* run code"),
    "LoRA of another family, without CLIP": (
        with_lora("other_family.safetensors"), "lora", "does not fit the model: none of its 1 tensors"
    ),
    "LoRA with NaN": (with_lora("nan.safetensors"), "sampler", "has 1 tensors that a LoRA or another patch turns into"),
    "half of a LoKr": (with_lora("half_kronecker.safetensors"), "lora", r"lacks '.*attn2\.to_k\.lokr_w2_b'"),
    "LoHa of another size": (
        with_lora("wide_hadamard.safetensors"), "lora", r"by Hadamard factors that do not fit; the model has \[64, 64\]"
    ),
    "hypernetwork that ends narrower": (with_hypernetwork("narrow.pt"), "change", "that gives a width of 8"),
    "hypernetwork without biases": (with_hypernetwork("no_bias.pt"), "change", "'0.weight' .* with no bias"),
    "hypernetwork without networks": (with_hypernetwork("empty.pt"), "change", "has no two networks of tensors"),
    "hypernetwork of words": (with_hypernetwork("words.pt"), "change", "has no two networks of tensors"),
    "GLIGEN for wider texts": (with_box("wide.safetensors"), "sampler", "is for texts of width 768; a box has one of"),
    "equal levels, lms": (over_sigmas("3, 3, 3", "lms"), "sampler", "sigma does not fall from 3"),
    "equal levels, sa_solver": (over_sigmas("3, 3, 3", "sa_solver"), "sampler", "sigma does not fall from 3"),
    "no noise at all": (over_sigmas("0, 0, 0", "dpmpp_sde"), "sampler", "sigma does not fall from 0"),
    "level below 0": (over_sigmas("14, -3, 0", "euler"), "sampler", "Sigma 1 of 3 is -3"),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE)
def test_bad_input_is_named(case: str, base: Path) -> None:
    graph, place, message = TABLE[case]
    result = run(base, graph)
    assert result.status == "failed"
    (failure,) = (event for event in result.events if isinstance(event, ExecutionFailed))
    assert failure.node_id == place
    error = result.exception
    assert isinstance(error, BadInput | ModelFileError)
    assert re.search(message, error.message)
    assert error.type
    assert not list((base / "output").rglob("*"))


@pytest.mark.parametrize(
    "changes",
    [
        {"sampler": {"denoise": 0.0}},
        {"sampler": {"seed": 2**64 - 1}},
        {"prompt": {"text": "((((a:1e9) (b:-) (c:nan) embedding:gone [x:y:0.5]"}},
        {"mask": node("SolidMask", value=1.0, width=500, height=3),
         "masked": node("SetLatentNoiseMask", samples=["blank", 0], mask=["mask", 0]),
         "sampler": {"latent_image": ["masked", 0]}},
        {"area": node("ConditioningSetArea", conditioning=["prompt", 0], strength=1.0, **OUTSIDE),
         "sampler": {"positive": ["area", 0]}},
        {"other": loaded("sd1.safetensors"),
         "latent": node("EmptySD3LatentImage", width=64, height=64, batch_size=1),
         "sampler": {"latent_image": ["latent", 0]}},
    ],
    ids=["no denoising", "largest seed", "odd prompt", "mask of another size", "area outside", "empty latent of SD3"],
)  # fmt: skip
def test_what_is_taken_all_the_same(changes: dict[str, dict[str, Any]], base: Path) -> None:
    graph = text_to_image(**changes)
    graph["saved"] = node("PreviewImage", images=["image", 0])
    result = run(base, graph)
    assert result.exception is None
    assert result.status == "done"
