"""PhotoMaker: which word of a prompt stands for the person, and what is said about files and text models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from comfykernel_core_nodes.diffusion.clip_vision import ClipVisionConfig
from comfykernel_core_nodes.diffusion.photo_maker import IdentityEncoder
from comfykernel_sdk.errors import BadInput, ModelFileError

VISION = ClipVisionConfig(width=32, layers=2, heads=1, intermediate=32, patch=8, image=16, projection=24)


@pytest.fixture
def run(node_run: Callable[..., Any], tiny_checkpoint: Path, weight_tensor: Callable[..., Tensor]) -> Any:
    run = node_run()
    (run.base / "models/checkpoints/tiny.safetensors").symlink_to(tiny_checkpoint)
    folder = run.base / "models/photomaker"
    folder.mkdir()
    for name, width in (("photomaker-v1", 64), ("wider", 96)):
        network = IdentityEncoder(VISION, width - 24, width)
        tensors = {key: weight_tensor(key, tensor.shape) for key, tensor in network.state_dict().items()}
        torch.save({"id_encoder": tensors, "lora_weights": {"a": torch.zeros(1)}}, folder / f"{name}.bin")
    save_file({"fuse_module.mlp1.fc1.weight": torch.zeros(1), "qformer_perceiver.token_proj.0.weight": torch.zeros(1)},
              folder / "photomaker-v2.safetensors")  # fmt: skip
    return run


def encoded(run: Any, text: str, *, shade: float = 0.5, name: str = "photomaker-v1") -> Tensor:
    clip = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")[1]
    maker = run.node("PhotoMakerLoader", photomaker_model_name=f"{name}.bin")
    image = torch.full((2, 20, 30, 3), shade)
    (condition,) = run.node("PhotoMakerEncode", photomaker=maker, image=image, clip=clip, text=text)
    return condition.tokens


def plain(run: Any, text: str) -> Tensor:
    clip = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")[1]
    (condition,) = run.node("CLIPTextEncode", text=text, clip=clip)
    return condition.tokens


def test_the_word_before_the_trigger_stands_for_the_person(run: Any) -> None:
    with_person, without = encoded(run, "portrait of a man photomaker in rain"), plain(run, "portrait of a man in rain")
    changed = (with_person - without).abs().amax(dim=-1)[0] > 1e-5
    assert changed.nonzero().flatten().tolist() == [4]
    other = encoded(run, "portrait of a man photomaker in rain", shade=0.9)
    assert not torch.allclose(other[0, 4], with_person[0, 4], atol=1e-4)


@pytest.mark.parametrize("text", ["portrait of a man", "photomaker", ""])
def test_without_a_word_for_the_person_the_text_stays(run: Any, text: str) -> None:
    assert torch.equal(encoded(run, text), plain(run, text))


def test_what_does_not_belong_together_is_told(run: Any) -> None:
    with pytest.raises(BadInput, match=r"wider\.bin is for texts of width 96, those of the text model are 64 wide"):
        encoded(run, "a man photomaker", name="wider")
    with pytest.raises(ModelFileError, match=r"photomaker-v2\.safetensors: .*second version"):
        run.node("PhotoMakerLoader", photomaker_model_name="photomaker-v2.safetensors")
