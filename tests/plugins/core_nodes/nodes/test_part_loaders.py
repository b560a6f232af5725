"""Loaders of single parts and of other forms: text models by kind, storage types, folders of diffusers, TAESD."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from comfykernel_core_nodes.diffusion.checkpoints import Checkpoint, load_checkpoint
from comfykernel_core_nodes.diffusion.clip_text import ClipTextConfig, ClipTextModel
from comfykernel_core_nodes.diffusion.lora_names import unet_names
from comfykernel_core_nodes.diffusion.parametrisation import Velocity
from comfykernel_core_nodes.diffusion.t5_encoder import T5Config, T5Encoder
from comfykernel_core_nodes.diffusion.taesd import tiny_decoder, tiny_encoder
from comfykernel_sdk.errors import BadInput, ModelFileError, NotFound

UNET_PREFIX = "model.diffusion_model."
INPUTS = {"context": torch.ones(1, 77, 64)}


@pytest.fixture
def run(node_run: Callable[..., Any]) -> Any:
    run = node_run()
    for name in ("diffusion_models", "text_encoders", "vae_approx", "configs", "diffusers"):
        (run.base / "models" / name).mkdir(parents=True)
    return run


def write_hollow(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A model file whose tensors are holes: as large as a published one, and no bytes on the disk."""
    header: dict[str, object] = {}
    position = 0
    for name, shape in shapes.items():
        end = position + math.prod(shape) * 2
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [position, end]}
        position = end
    raw = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        file.truncate(8 + len(raw) + position)


def clip_shapes(width: int) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        model = ClipTextModel(ClipTextConfig(width=width, layers=1, intermediate=width, projection_dim=width))
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    projection = {"text_projection.weight": shapes.pop("text_projection.weight")}
    return {f"text_model.{name}": shape for name, shape in shapes.items()} | projection


@pytest.fixture
def text_files(run: Any) -> Path:
    """Text models as they are published by themselves, of full width and one layer."""
    folder: Path = run.base / "models/text_encoders"
    for name, width in (("clip_l", 768), ("clip_g", 1280), ("clip_h", 1024)):
        write_hollow(folder / f"{name}.safetensors", clip_shapes(width))
    with torch.device("meta"):
        t5 = T5Encoder(T5Config(layers=1, hidden=64))
    shapes = {name: tuple(tensor.shape) for name, tensor in t5.state_dict().items()}
    write_hollow(folder / "t5xxl.safetensors", shapes)
    return folder


def loaded(run: Any, *names: str, kind: str = "") -> list[str]:
    """The parts of what a loader gives for files."""
    files = [f"{name}.safetensors" for name in names]
    if len(files) == 1:
        clip = run.node("CLIPLoader", clip_name=files[0], type=kind)
    else:
        node = {2: "DualCLIPLoader", 3: "TripleCLIPLoader", 4: "QuadrupleCLIPLoader"}[len(files)]
        given = {f"clip_name{number}": file for number, file in enumerate(files, start=1)}
        clip = run.node(node, **given, **({"type": kind} if kind else {}))
    return sorted(clip.parts)


@pytest.mark.usefixtures("text_files")
@pytest.mark.parametrize(
    ("names", "kind", "parts"),
    [
        (["clip_l"], "stable_diffusion", ["l"]),
        (["clip_g"], "stable_diffusion", ["g"]),
        (["clip_h"], "stable_diffusion", ["h"]),
        (["t5xxl"], "sd3", ["t5xxl"]),
        (["clip_g", "clip_l"], "sdxl", ["g", "l"]),
        (["clip_l", "t5xxl"], "sd3", ["l", "t5xxl"]),
        (["t5xxl", "clip_l"], "flux", ["l", "t5xxl"]),
        (["t5xxl", "clip_g", "clip_l"], "", ["g", "l", "t5xxl"]),
    ],
)
def test_text_models_by_kind(run: Any, names: list[str], kind: str, parts: list[str]) -> None:
    assert loaded(run, *names, kind=kind) == parts


@pytest.mark.usefixtures("text_files")
def test_kinds_without_a_family_are_named(run: Any) -> None:
    with pytest.raises(BadInput, match=r"no text models of the kind 'wan' here; there are: .*flux, .*sd3") as error:
        loaded(run, "t5xxl", kind="wan")
    assert error.value.type == "unknown_model_family"
    with pytest.raises(BadInput, match="'hidream'"):
        loaded(run, "clip_l", "clip_g", "t5xxl", "clip_h")


@pytest.mark.usefixtures("text_files")
def test_files_of_another_kind_are_named(run: Any) -> None:
    with pytest.raises(ModelFileError, match=r"t5xxl\.safetensors is a T5 text model") as error:
        loaded(run, "t5xxl", kind="stable_diffusion")
    assert "CLIP-L, CLIP-G or CLIP-H" in error.value.hint
    with pytest.raises(ModelFileError, match="no text models of the kind 'flux'"):
        loaded(run, "clip_l", "clip_g", kind="flux")


def test_autoencoder_is_no_text_model(run: Any, family_checkpoint: Callable[[str], Path]) -> None:
    tensors = part_of(family_checkpoint("sd1"), "first_stage_model.")
    save_file(tensors, run.base / "models/text_encoders/vae.safetensors")
    with pytest.raises(ModelFileError, match=r"vae\.safetensors is an autoencoder with \d+ tensors"):
        loaded(run, "vae", kind="stable_diffusion")


def test_text_model_on_the_cpu(run: Any, text_files: Path) -> None:
    clip = run.node("CLIPLoader", clip_name="clip_l.safetensors", type="stable_diffusion", device="cpu")
    assert clip.parts["l"].weights.device == torch.device("cpu")


def part_of(path: Path, prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in load_file(path).items() if k.startswith(prefix)}


@pytest.mark.parametrize("prefix", ["", UNET_PREFIX, "diffusion_model."])
def test_diffusion_model_alone(run: Any, family_checkpoint: Callable[[str], Path], prefix: str) -> None:
    tensors = part_of(family_checkpoint("sd1"), UNET_PREFIX)
    path = run.base / "models/diffusion_models/unet.safetensors"
    save_file({prefix + name: tensor for name, tensor in tensors.items()}, path)
    model = run.node("UNETLoader", unet_name="unet.safetensors", weight_dtype="default")
    assert torch.equal(predicted(model), predicted(load_checkpoint(family_checkpoint("sd1")).model))


def predicted(model: Any) -> Tensor:
    x = torch.linspace(-1, 1, 256).view(1, 4, 8, 8)
    with torch.inference_mode():
        out: Tensor = model.ready().denoise(x, torch.ones(1), INPUTS)
    return out


def test_eight_bit_storage_rounds_weights(run: Any, family_checkpoint: Callable[[str], Path]) -> None:
    tensors = part_of(family_checkpoint("sd1"), UNET_PREFIX)
    folder = run.base / "models/diffusion_models"
    save_file(tensors, folder / "unet.safetensors")
    whole = run.node("UNETLoader", unet_name="unet.safetensors", weight_dtype="default")
    for choice, dtype in (("fp8_e4m3fn", torch.float8_e4m3fn), ("fp8_e5m2", torch.float8_e5m2)):
        stored = run.node("UNETLoader", unet_name="unet.safetensors", weight_dtype=choice)
        save_file({name: tensor.to(dtype).half() for name, tensor in tensors.items()}, folder / "rounded.safetensors")
        rounded = run.node("UNETLoader", unet_name="rounded.safetensors", weight_dtype="default")
        assert torch.equal(predicted(stored), predicted(rounded))
        assert not torch.equal(predicted(stored), predicted(whole))


def test_lora_is_no_diffusion_model(run: Any) -> None:
    path = run.base / "models/diffusion_models/lora.safetensors"
    save_file({"lora_unet_mid.lora_up.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(ModelFileError, match=r"lora\.safetensors: holds no diffusion model.*is a LoRA with 1 tensors"):
        run.node("UNETLoader", unet_name="lora.safetensors", weight_dtype="default")


def diffusers_unet(path: Path) -> dict[str, Tensor]:
    """The UNet of a checkpoint with the names of diffusers."""
    tensors = part_of(path, UNET_PREFIX)
    names = unet_names({name: tuple(tensor.shape) for name, tensor in tensors.items()})
    # Attention layers go by the names that "processors" have there.
    mine = {theirs: ours for theirs, ours in names.items() if theirs.startswith("unet.")}
    other = {ours: theirs.removeprefix("unet.").replace(".processor", "") for theirs, ours in mine.items()}
    other |= {ours: f"{theirs}.0" for ours, theirs in other.items() if theirs.endswith(".to_out")}
    renamed = {}
    for name, tensor in tensors.items():
        module, _, ending = name.rpartition(".")
        renamed[f"{other[module]}.{ending}"] = tensor
    return renamed


@pytest.fixture
def diffusers_folder(run: Any, family_checkpoint: Callable[[str], Path]) -> Path:
    """The SD1 model as a folder; its text model in two parts with an index."""
    source = family_checkpoint("sd1")
    folder: Path = run.base / "models/diffusers/sub/tiny"
    for name in ("unet", "vae", "text_encoder", "scheduler"):
        (folder / name).mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    save_file(diffusers_unet(source), folder / "unet/diffusion_pytorch_model.safetensors")
    save_file(part_of(source, "first_stage_model."), folder / "vae/diffusion_pytorch_model.safetensors")
    text = part_of(source, "cond_stage_model.transformer.")
    halves = {"a.safetensors": list(text)[::2], "b.safetensors": list(text)[1::2]}
    for file, names in halves.items():
        save_file({name: text[name] for name in names}, folder / "text_encoder" / file)
    weight_map = {name: file for file, names in halves.items() for name in names}
    (folder / "text_encoder/model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def test_folder_of_diffusers(run: Any, diffusers_folder: Path, family_checkpoint: Callable[[str], Path]) -> None:
    assert run.context.models.names("diffusers") == ["sub/tiny"]
    model, clip, vae = run.node("DiffusersLoader", model_path="sub/tiny")
    whole: Checkpoint = load_checkpoint(family_checkpoint("sd1"))
    assert torch.equal(predicted(model), predicted(whole.model))
    latent = torch.ones(1, 4, 4, 4)
    assert whole.vae is not None
    assert torch.equal(vae.decode(latent), whole.vae.decode(latent))
    a, b = (run.node("CLIPTextEncode", text="a cat", clip=each)[0].tokens for each in (clip, whole.clip))
    assert torch.equal(a, b)


def test_scheduler_of_a_folder_tells_the_prediction(run: Any, diffusers_folder: Path) -> None:
    (diffusers_folder / "scheduler/scheduler_config.json").write_text('{"prediction_type": "v_prediction"}')
    model, _, _ = run.node("DiffusersLoader", model_path="sub/tiny")
    assert isinstance(model.sampling.parametrisation, Velocity)


def test_folder_without_a_network(run: Any, diffusers_folder: Path) -> None:
    (diffusers_folder / "unet/diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ModelFileError, match="neither unet nor transformer"):
        run.node("DiffusersLoader", model_path="sub/tiny")
    with pytest.raises(NotFound):
        run.node("DiffusersLoader", model_path="sub")


def test_index_names_files_of_its_folder_only(run: Any, diffusers_folder: Path) -> None:
    index = diffusers_folder / "text_encoder/model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../../../secret.safetensors"}}))
    with pytest.raises(ModelFileError, match="outside of its folder"):
        run.node("DiffusersLoader", model_path="sub/tiny")
    index.write_text("{")
    with pytest.raises(ModelFileError, match="no index"):
        run.node("DiffusersLoader", model_path="sub/tiny")


def test_checkpoint_with_a_configuration(run: Any, family_checkpoint: Callable[[str], Path]) -> None:
    (run.base / "models/checkpoints/sd1.safetensors").symlink_to(family_checkpoint("sd1"))

    def load(config: str) -> Any:
        return run.node("CheckpointLoader", config_name=config, ckpt_name="sd1.safetensors")

    model, clip, _ = load("v1-inference_clip_skip_2.yaml")
    assert (clip.last_layer, isinstance(model.sampling.parametrisation, Velocity)) == (-2, False)
    assert isinstance(load("v2-inference-v.yaml")[0].sampling.parametrisation, Velocity)
    text = (
        'model:\n  params:\n    parameterization: "v"\n    cond_stage_config:\n      params:\n        layer_idx: -3\n'
    )
    (run.base / "models/configs/own.yaml").write_text(text)
    model, clip, _ = load("own.yaml")
    assert (clip.last_layer, isinstance(model.sampling.parametrisation, Velocity)) == (-3, True)
    with pytest.raises(NotFound):
        load("none.yaml")


def test_checkpoints_with_an_image_encoder_may_lack_it(run: Any, family_checkpoint: Callable[[str], Path]) -> None:
    (run.base / "models/checkpoints/sd1.safetensors").symlink_to(family_checkpoint("sd1"))
    model, clip, vae, vision = run.node("unCLIPCheckpointLoader", ckpt_name="sd1.safetensors")
    assert (model is not None, clip is not None, vae is not None, vision) == (True, True, True, None)
    assert run.node("ImageOnlyCheckpointLoader", ckpt_name="sd1.safetensors")[1] is None


@pytest.mark.parametrize(("name", "channels"), [("taesd", 4), ("taesdxl", 4), ("taesd3", 16), ("taef1", 16)])
def test_tiny_autoencoders(run: Any, weight_tensor: Callable[..., Tensor], name: str, channels: int) -> None:
    folder = run.base / "models/vae_approx"
    with pytest.raises(NotFound, match=f"{name}_encoder.safetensors and {name}_decoder.safetensors"):
        run.node("VAELoader", vae_name=name)
    for half, build in (("encoder", tiny_encoder), ("decoder", tiny_decoder)):
        tensors = {key: weight_tensor(key, tensor.shape) for key, tensor in build(channels).state_dict().items()}
        save_file(tensors, folder / f"{name}_{half}.safetensors")
    vae = run.node("VAELoader", vae_name=name)
    image = run.node("VAEDecode", samples={"samples": torch.ones(1, channels, 4, 4)}, vae=vae)
    assert image.shape == (1, 32, 32, 3)
    assert run.node("VAEEncode", pixels=image, vae=vae)["samples"].shape == (1, channels, 4, 4)
