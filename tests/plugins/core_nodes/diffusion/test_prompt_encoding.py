"""Prompts to chunks of tokens, and to conditions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from comfykernel_core_nodes.diffusion.checkpoints import load_checkpoint
from comfykernel_core_nodes.diffusion.prompt_readers import READERS
from comfykernel_core_nodes.diffusion.text_encoding import TextEncoder, encode_prompt
from comfykernel_sdk.families import Chunk, EmbeddingRows

START, END, CAT, A = 49406, 49407, 2368, 320
ROWS = torch.arange(2 * 64, dtype=torch.float32).view(2, 64) / 64


@pytest.fixture
def clip(checkpoint_file: Path) -> TextEncoder:
    clip = load_checkpoint(checkpoint_file).clip
    assert clip is not None
    return clip


def named_rows(name: str) -> dict[str, Tensor] | None:
    return {"": ROWS} if name == "two" else None


def tokenize_prompt(text: str, *, embeddings: EmbeddingRows | None = None, reader: str = "clip_l") -> list[Chunk]:
    return READERS[reader].tokenize(text, embeddings=embeddings)


def ids(text: str) -> list[list[object]]:
    return [
        ["row" if isinstance(token.id, Tensor) else token.id for token in chunk]
        for chunk in tokenize_prompt(text, embeddings=named_rows)
    ]


def test_chunk_begins_and_ends_and_is_padded() -> None:
    (chunk,) = tokenize_prompt("(a cat:1.2)")
    assert [token.id for token in chunk] == [START, A, CAT, *[END] * 74]
    assert [token.weight for token in chunk[:4]] == [1.0, 1.2, 1.2, 1.0]
    assert [token.word for token in chunk[:4]] == [0, 1, 1, 0]


def test_long_segment_is_cut_and_short_word_moves_on() -> None:
    assert [chunk.count(CAT) for chunk in ids("cat " * 80)] == [75, 5]
    first, second = ids("cat " * 74 + "(a cat:1.3)")
    assert first.count(CAT) == 74
    assert second[:4] == [START, A, CAT, END]


def test_inversion_stands_for_its_rows() -> None:
    (chunk,) = ids("a embedding:two, cat")
    assert chunk[:7] == [START, A, "row", "row", 267, CAT, END]
    (chunk,) = ids("a\nembedding:two")
    assert chunk[:5] == [START, A, "row", "row", END]


def test_unknown_inversion_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    (chunk,) = ids("embedding:none cat")
    assert chunk[:3] == [START, CAT, END]
    assert "no textual inversion 'none'" in caplog.text


def test_without_lookup_the_mark_is_text() -> None:
    (chunk,) = tokenize_prompt("embedding:two")
    assert all(isinstance(token.id, int) for token in chunk)
    assert chunk[3].id != END


def test_condition_has_one_row_of_chunks(clip: TextEncoder) -> None:
    (short,), (long,) = encode_prompt(clip, "a cat"), encode_prompt(clip, "cat " * 80)
    assert short.tokens.shape == (1, 77, 64)
    assert long.tokens.shape == (1, 154, 64)
    assert short.pooled is not None
    assert short.pooled.shape == (1, 64)
    assert not short.tokens.is_inference()


def test_weight_moves_tokens_away_from_the_empty_prompt(clip: TextEncoder) -> None:
    plain, empty = (encode_prompt(clip, text)[0].tokens for text in ("cat", ""))
    for weight in (1.4, 0.0, -0.5):
        weighted = encode_prompt(clip, f"(cat:{weight})")[0].tokens
        torch.testing.assert_close(weighted[0, 1], empty[0, 1] + (plain[0, 1] - empty[0, 1]) * weight)
        torch.testing.assert_close(weighted[0, 2:], plain[0, 2:])


def test_last_layer_is_a_choice_of_the_handle(clip: TextEncoder) -> None:
    last, earlier, beyond = (encode_prompt(clip.with_last_layer(layer), "cat")[0].tokens for layer in (-1, -2, -24))
    assert not torch.allclose(last, earlier)
    assert torch.equal(last, beyond)
    assert clip.last_layer is None


def test_inversion_files_are_read_and_those_of_another_width_left_out(
    clip: TextEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_file({"emb_params": ROWS}, tmp_path / "two.safetensors")
    save_file({"emb_params": torch.ones(2, 32)}, tmp_path / "narrow.safetensors")
    torch.save({"string_to_param": {"*": ROWS}}, tmp_path / "old.pt")
    files = {"two": "two.safetensors", "old": "old.pt", "narrow": "narrow.safetensors"}

    def encoded(text: str) -> Tensor:
        return encode_prompt(clip, text, embeddings=lambda name: tmp_path / files[name])[0].tokens

    assert torch.equal(encoded("embedding:two"), encoded("embedding:old"))
    assert not torch.equal(encoded("embedding:two"), encoded(""))
    assert torch.equal(encoded("embedding:narrow"), encoded(""))
    assert "not made for clip_l of width 64" in caplog.text
