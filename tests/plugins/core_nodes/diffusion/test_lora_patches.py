"""LoRA files in their layouts: which weights they reach, what they do, and that models stay apart."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from comfykernel_core_nodes.diffusion.checkpoints import Checkpoint, load_checkpoint
from comfykernel_core_nodes.diffusion.errors import CheckpointError
from comfykernel_core_nodes.diffusion.lora import apply_lora, load_lora
from comfykernel_core_nodes.diffusion.memory import ModelMemory, Part

QUERY = "input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"
FLAT = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
ORIGINAL = f"lora_unet_{QUERY.removesuffix('.weight').replace('.', '_')}"
DOTTED = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
UP, DOWN = torch.linspace(-1, 1, 128).view(32, 4), torch.linspace(-1, 1, 128).view(4, 32)
TEXT_QUERY = "encoder.layers.0.self_attn.q_proj.weight"


@pytest.fixture
def checkpoint(checkpoint_file: Path) -> Checkpoint:
    return load_checkpoint(checkpoint_file)


def difference(tensors: dict[str, Tensor], checkpoint: Checkpoint, memory: ModelMemory, strength: float) -> Tensor:
    """Change of the one weight that a file reaches."""
    model = apply_lora(tensors, checkpoint.model, None, strength, 1.0).model
    assert model is not None
    assert list(model.weights.patches) == [QUERY]
    changed = memory.module(model.weights, Part.DIFFUSION).state_dict()[QUERY]
    return changed - memory.module(checkpoint.model.weights, Part.DIFFUSION).state_dict()[QUERY]


@pytest.mark.parametrize(
    ("up", "down"),
    [
        (f"{FLAT}.lora_up.weight", f"{FLAT}.lora_down.weight"),
        (f"lycoris_{FLAT[10:]}.lora_up.weight", f"lycoris_{FLAT[10:]}.lora_down.weight"),
        (f"{ORIGINAL}.lora_up.weight", f"{ORIGINAL}.lora_down.weight"),
        (f"diffusion_model.{QUERY[:-7]}.lora_B.weight", f"diffusion_model.{QUERY[:-7]}.lora_A.weight"),
        (f"unet.{DOTTED}.processor.to_q_lora.up.weight", f"unet.{DOTTED}.processor.to_q_lora.down.weight"),
        (f"unet.{DOTTED}.processor.to_q.lora.up.weight", f"unet.{DOTTED}.processor.to_q.lora.down.weight"),
    ],
    ids=["kohya", "lycoris", "original names", "generic", "diffusers processor", "diffusers"],
)  # fmt: skip
@pytest.mark.parametrize("strength", [1.0, -0.5])
def test_layouts_of_a_low_rank_update(
    checkpoint: Checkpoint, memory: ModelMemory, up: str, down: str, strength: float
) -> None:
    actual = difference({up: UP, down: DOWN}, checkpoint, memory, strength)
    torch.testing.assert_close(actual, strength * UP @ DOWN, rtol=1e-4, atol=1e-5)


def test_alpha_scales_by_rank(checkpoint: Checkpoint, memory: ModelMemory) -> None:
    file = {f"{FLAT}.lora_up.weight": UP, f"{FLAT}.lora_down.weight": DOWN, f"{FLAT}.alpha": torch.tensor(2.0)}
    torch.testing.assert_close(difference(file, checkpoint, memory, 1.0), 0.5 * UP @ DOWN, rtol=1e-4, atol=1e-5)


def test_other_forms_of_updates(checkpoint: Checkpoint, memory: ModelMemory) -> None:
    first, second = torch.eye(4) * 0.5, torch.linspace(0, 1, 64).view(8, 8)
    cases: list[tuple[dict[str, Tensor], Tensor]] = [
        ({f"{FLAT}.diff": UP @ DOWN}, UP @ DOWN),
        ({f"{FLAT}.lokr_w1": first, f"{FLAT}.lokr_w2": second}, torch.kron(first, second)),
        (
            {f"{FLAT}.hada_w1_a": UP, f"{FLAT}.hada_w1_b": DOWN, f"{FLAT}.hada_w2_a": UP, f"{FLAT}.hada_w2_b": DOWN},
            (UP @ DOWN) ** 2,
        ),
        ({f"{FLAT}.oft_blocks": torch.zeros(4, 8, 8)}, torch.zeros(32, 32)),
        ({f"{FLAT}.oft_blocks": torch.zeros(2, 4, 8, 8)}, torch.zeros(32, 32)),
    ]
    for file, expected in cases:
        torch.testing.assert_close(difference(file, checkpoint, memory, 1.0), expected, rtol=1e-4, atol=1e-5)


def test_rotation_keeps_the_length_of_columns(checkpoint: Checkpoint, memory: ModelMemory) -> None:
    blocks = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(0))
    result = apply_lora({f"{FLAT}.oft_blocks": blocks}, checkpoint.model, None, 1.0, 1.0).model
    assert result is not None
    before, after = (
        memory.module(model.weights, Part.DIFFUSION).state_dict()[QUERY] for model in (checkpoint.model, result)
    )
    torch.testing.assert_close(after.norm(dim=0), before.norm(dim=0), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(after, before)


def test_text_model_is_reached_in_its_layouts(checkpoint: Checkpoint) -> None:
    up, down = torch.ones(64, 2), torch.ones(2, 64)
    flat = "text_model_encoder_layers_0_self_attn_q_proj"
    for name, ends in (
        (f"lora_te_{flat}", (".lora_up.weight", ".lora_down.weight")),
        (f"lora_te1_{flat}", (".lora_up.weight", ".lora_down.weight")),
        ("text_encoder.text_model.encoder.layers.0.self_attn.q_proj", (".lora_B.weight", ".lora_A.weight")),
    ):
        file = {name + ends[0]: up, name + ends[1]: down}
        result = apply_lora(file, checkpoint.model, checkpoint.clip, 1.0, 1.0)
        assert result.clip is not None
        assert list(result.clip.parts["l"].weights.patches) == [TEXT_QUERY]
        assert result.model is checkpoint.model
        assert not result.unused


def test_handles_stay_apart_and_strength_zero_changes_nothing(checkpoint: Checkpoint, memory: ModelMemory) -> None:
    file = {f"{FLAT}.lora_up.weight": UP, f"{FLAT}.lora_down.weight": DOWN, "stranger.lora_up.weight": UP}
    before = memory.module(checkpoint.model.weights, Part.DIFFUSION).state_dict()[QUERY].clone()
    once = apply_lora(file, checkpoint.model, None, 0.5, 1.0)
    twice = apply_lora(file, once.model, None, 0.5, 1.0)
    assert once.unused == ["stranger.lora_up.weight"]
    assert twice.model is not None
    assert len(twice.model.weights.patches[QUERY]) == 2
    assert twice.model.weights.source is checkpoint.model.weights.source
    stacked = memory.module(twice.model.weights, Part.DIFFUSION).state_dict()[QUERY]
    torch.testing.assert_close(stacked - before, UP @ DOWN, rtol=1e-4, atol=1e-5)
    assert torch.equal(memory.module(checkpoint.model.weights, Part.DIFFUSION).state_dict()[QUERY], before)
    assert apply_lora(file, checkpoint.model, None, 0.0, 1.0).model is checkpoint.model


def test_file_is_read_and_an_empty_one_refused(tmp_path: Path) -> None:
    save_file({f"{FLAT}.diff": UP}, tmp_path / "lora.safetensors")
    assert list(load_lora(tmp_path / "lora.safetensors")) == [f"{FLAT}.diff"]
    save_file({}, tmp_path / "empty.safetensors")
    with pytest.raises(CheckpointError, match="no tensors"):
        load_lora(tmp_path / "empty.safetensors")
