"""The CLIP tokenizer against recorded ids, and the family that offers it to other plugins."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from comfykernel_core_nodes.diffusion.clip_tokenizer import END_TOKEN, START_TOKEN, clip_tokenizer, tokenize
from comfykernel_sdk.families import LatentDiffusionFamily, UnknownFamilyError, find_family

RECORDED = {
    "": [],
    "a photo of a cat": [320, 1125, 539, 320, 2368],
    "A PHOTO of a Cat, 8K!!": [320, 1125, 539, 320, 2368, 267, 279, 330, 748],
    "don't can't I'm we'll": [847, 713, 753, 713, 328, 880, 649, 1342],
    "   leading and   multiple   spaces   ": [3833, 537, 6470, 9006],
    "a\nb\nc": [320, 321, 322],
    "0123456789 42 3.14": [271, 272, 273, 274, 275, 276, 277, 278, 279, 280, 275, 273, 274, 269, 272, 275],
    "&amp; &lt;b&gt; html": [261, 6259, 282, 261, 3333, 282, 321, 261, 4725, 282, 18231],
    "<|endoftext|> x <|startoftext|>": [49407, 343, 49406],
    "猫と犬の写真": [163, 234, 360, 4813, 357, 163, 232, 361, 4813, 362, 27972, 503, 33440, 509],
    "😀 🎨 ❤️": [7334, 13461, 1752],
    "㍿ ﬁ ²": [159, 235, 379, 171, 105, 479, 41175],
}


@pytest.mark.parametrize("text", RECORDED)
def test_texts_have_the_recorded_ids(text: str) -> None:
    assert tokenize(text) == RECORDED[text]


def test_vocabulary_has_all_entries() -> None:
    assert clip_tokenizer().get_vocab_size() == 49408


@given(st.text(max_size=60))
def test_any_text_has_ids_of_the_vocabulary(text: str) -> None:
    assert all(0 <= token < 49408 for token in tokenize(text))


@given(st.text(alphabet="abcxyz ,.!'", max_size=30))
def test_case_and_spaces_around_do_not_matter(text: str) -> None:
    assert tokenize(f"  {text.upper()} ") == tokenize(text)


def test_family_is_found_by_its_name_and_frames_texts() -> None:
    family = find_family("sd1")
    assert isinstance(family, LatentDiffusionFamily)
    ids = family.tokenize(["a photo of a cat", "word " * 100])
    assert ids.shape == (2, 77)
    assert ids.dtype == torch.long
    assert ids[0, :6].tolist() == [START_TOKEN, 320, 1125, 539, 320, 2368]
    assert set(ids[0, 6:].tolist()) == {END_TOKEN}
    assert ids[1, -2].item() != END_TOKEN
    assert ids[1, -1].item() == END_TOKEN


def test_family_builds_networks_from_plain_configurations() -> None:
    family = find_family("sd1")
    small = {"model_channels": 32, "channel_mult": [1], "num_res_blocks": [1], "transformer_depth": [1]}
    with torch.device("meta"):
        unet = family.unet({**small, "transformer_depth_output": [1, 1], "context_dim": 64})
        family.autoencoder({"channels": 32, "channel_mult": [1, 1]})
        family.text_encoder({"width": 64, "layers": 1, "heads": 1, "intermediate": 64})
    assert unet.state_dict()["middle_block.1.transformer_blocks.0.attn2.to_k.weight"].shape == (32, 64)
    with pytest.raises(TypeError, match="model_chanels"):
        family.unet({"model_chanels": 32})


def test_unknown_family_names_the_known_ones() -> None:
    with pytest.raises(UnknownFamilyError, match="sd1"):
        find_family("sd9")
