"""Conditions in files: what is saved comes back and makes the same picture; files of others, and bad ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from comfykernel_core_nodes.diffusion.conditioning import Area, Conditioning
from comfykernel_sdk.errors import BadInput, ModelFileError, NotFound


@pytest.fixture
def run(node_run: Callable[..., Any]) -> Any:
    return node_run()


def saved(run: Any, conditions: list[Conditioning], name: str = "mine") -> Path:
    """The file after it was moved to the embeddings."""
    assert run.node("SaveConditioning", conditioning=conditions, filename_prefix=f"conditioning/{name}") is conditions
    path: Path = run.base / f"models/embeddings/{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    (run.base / f"output/conditioning/{name}_00001_.safetensors").rename(path)
    return path


def loaded(run: Any, name: str = "mine.safetensors") -> Conditioning:
    (condition,) = run.node("ConditioningLoader", conditioning_name=name)
    assert isinstance(condition, Conditioning)
    return condition


def test_a_saved_condition_comes_back(run: Any) -> None:
    condition = Conditioning(
        torch.randn(1, 7, 4), torch.randn(1, 5), strength=0.5, mask=torch.rand(1, 3, 3), mask_strength=0.25,
        mask_bounds=True, start_percent=0.1, end_percent=0.9, default=True,
        extra={
            "guidance": 3.5, "width": 64, "flag": False, "reference_latents_method": "index", "nothing": None,
            "reference_latents": (torch.zeros(1, 4, 2, 2), torch.ones(1, 4, 3, 3)),
            "concat_mask": torch.ones(1, 1, 2, 2),
        },
    )  # fmt: skip
    saved(run, [condition])
    found = loaded(run)
    assert torch.equal(found.tokens, condition.tokens)
    for name in ("pooled", "mask"):
        assert torch.equal(getattr(found, name), getattr(condition, name))
    plain = ("strength", "mask_strength", "mask_bounds", "start_percent", "end_percent", "default")
    assert [getattr(found, name) for name in plain] == [0.5, 0.25, True, 0.1, 0.9, True]
    assert {name: found.extra[name] for name in ("guidance", "width", "flag", "reference_latents_method")} == {
        "guidance": 3.5, "width": 64, "flag": False, "reference_latents_method": "index"
    }  # fmt: skip
    assert "nothing" not in found.extra
    references: Any = found.extra["reference_latents"]
    assert [tuple(each.shape) for each in references] == [(1, 4, 2, 2), (1, 4, 3, 3)]
    assert isinstance(found.extra["concat_mask"], torch.Tensor)


def test_the_file_has_the_names_that_the_field_knows(run: Any) -> None:
    path = saved(run, [Conditioning(torch.zeros(1, 2, 3), torch.zeros(1, 4), extra={"guidance": 2.0})])
    with safe_open(path, "pt") as file:
        assert sorted(file.keys()) == ["conditioning", "pooled_output"]
        assert json.loads(file.metadata()["conditioning_options"]) == {"guidance": 2.0}


def test_a_loaded_condition_samples_like_the_text(run: Any, tiny_checkpoint: Path) -> None:
    (run.base / "models/checkpoints/tiny.safetensors").symlink_to(tiny_checkpoint)
    model, clip, _ = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    text = run.node("CLIPTextEncode", text="a red circle", clip=clip)
    saved(run, text)

    def sampled(positive: object) -> torch.Tensor:
        result = run.node(
            "KSampler", model=model, positive=positive, negative=positive, seed=1, steps=2, cfg=1.0, denoise=1.0,
            latent_image={"samples": torch.zeros(1, 4, 8, 8)}, sampler_name="euler", scheduler="normal",
        )  # fmt: skip
        samples = result["samples"]
        assert isinstance(samples, torch.Tensor)
        return samples

    assert torch.equal(sampled([loaded(run)]), sampled(text))


def test_a_bare_tensor_of_half_precision_and_many_numbered_ones(run: Any) -> None:
    folder = run.base / "models/embeddings"
    folder.mkdir(parents=True, exist_ok=True)
    rows = {f"rows.{number}": torch.full((1,), float(number)) for number in range(12)}
    save_file({"conditioning": torch.ones(1, 2, 3).half(), "a.b": torch.zeros(1), **rows}, folder / "bare.safetensors")
    found = loaded(run, "bare.safetensors")
    assert found.tokens.dtype == torch.float32
    values: Any = found.extra["rows"]
    assert [float(each) for each in values] == list(range(12))
    assert "a.b" in found.extra


@pytest.mark.parametrize(
    ("conditions", "problem"),
    [
        ([], "these are 0"),
        ([Conditioning(torch.zeros(1, 1, 1))] * 2, "these are 2"),
        ([Conditioning(torch.zeros(1, 1, 1), area=Area(8, 8, 0, 0))], "'area'"),
        ([Conditioning(torch.zeros(1, 1, 1), extra={"odd": object()})], "'odd'"),
        ([Conditioning(torch.zeros(1, 1, 1), extra={"odd": float("nan")})], "'odd'"),
    ],
)
def test_what_no_file_can_hold_is_refused(run: Any, conditions: list[Conditioning], problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        run.node("SaveConditioning", conditioning=conditions, filename_prefix="x")
    assert not list((run.base / "output").glob("**/*.safetensors"))


@pytest.mark.parametrize(
    ("tensors", "metadata", "problem"),
    [
        ({"emb_params": torch.zeros(2, 4)}, {}, r"no saved conditioning.*emb_params"),
        ({"conditioning": torch.zeros(2, 4)}, {}, r"no saved conditioning"),
        ({"conditioning": torch.zeros(1, 2, 4)}, {"conditioning_options": "{"}, "no JSON"),
        ({"conditioning": torch.zeros(1, 2, 4)}, {"conditioning_options": "[1]"}, "no table of plain values"),
        ({"conditioning": torch.zeros(1, 2, 4)}, {"conditioning_options": '{"a": [1]}'}, "no table of plain values"),
        ({"conditioning": torch.zeros(1, 2, 4)}, {"conditioning_options": '{"mask": 1}'}, "int for 'mask'"),
        ({"conditioning": torch.zeros(1, 2, 4), "strength": torch.zeros(1)}, {}, "Tensor for 'strength'"),
    ],
)
def test_files_that_hold_no_condition_are_named(
    run: Any, tensors: dict[str, torch.Tensor], metadata: dict[str, str], problem: str
) -> None:
    folder = run.base / "models/embeddings"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "other.safetensors", metadata=metadata)
    with pytest.raises(ModelFileError, match=rf"other\.safetensors.*{problem}"):
        loaded(run, "other.safetensors")
    with pytest.raises(NotFound):
        loaded(run, "nothing.safetensors")
