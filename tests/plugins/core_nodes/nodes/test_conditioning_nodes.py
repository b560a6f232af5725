"""Nodes of texts and areas: what they make of conditions, and errors for what can't be mixed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.checkpoints import load_checkpoint
from comfykernel_core_nodes.diffusion.conditioning import Area, Conditioning
from comfykernel_core_nodes.diffusion.text_encoding import TextEncoder
from comfykernel_sdk.errors import BadInput

SIZES = {"width": 1024, "height": 768, "crop_w": 8, "crop_h": 16, "target_width": 512, "target_height": 640}


@pytest.fixture
def run(node_run: Callable[..., Any]) -> Any:
    return node_run()


@pytest.fixture(scope="module")
def clip_of(family_checkpoint: Callable[[str], Path]) -> Callable[[str], TextEncoder]:
    def clip(family: str) -> TextEncoder:
        found = load_checkpoint(family_checkpoint(family)).clip
        assert found is not None
        return found

    return clip


def condition(value: float, *, tokens: int = 77, pooled: float | None = None) -> list[Conditioning]:
    vector = None if pooled is None else torch.full((1, 4), pooled)
    return [Conditioning(torch.full((1, tokens, 8), value), vector)]


def test_average_weighs_tokens_and_pooled_vectors(run: Any) -> None:
    given = {"conditioning_to": condition(1.0, pooled=2.0), "conditioning_from": condition(5.0, pooled=6.0)}
    (mixed,) = run.node("ConditioningAverage", **given, conditioning_to_strength=0.75)
    assert mixed.tokens.unique().tolist() == [2.0]
    assert mixed.pooled.unique().tolist() == [3.0]
    (bare,) = run.node(
        "ConditioningAverage", **{**given, "conditioning_to": condition(1.0)}, conditioning_to_strength=0.75
    )
    assert bare.pooled.unique().tolist() == [6.0]


def test_average_fills_up_and_cuts_the_other_text(run: Any) -> None:
    def mixed(to: int, other: int) -> Tensor:
        given = {"conditioning_to": condition(1.0, tokens=to), "conditioning_from": condition(3.0, tokens=other)}
        (result,) = run.node("ConditioningAverage", **given, conditioning_to_strength=0.5)
        tokens: Tensor = result.tokens[0, :, 0]
        return tokens

    assert mixed(3, 2).tolist() == [2.0, 2.0, 0.5]
    assert mixed(2, 3).tolist() == [2.0, 2.0]


def test_concat_puts_one_text_behind_the_other(run: Any) -> None:
    to = condition(1.0, tokens=2, pooled=1.0) + condition(2.0, tokens=3)
    given = {"conditioning_to": to, "conditioning_from": condition(9.0, tokens=1, pooled=5.0)}
    first, second = run.node("ConditioningConcat", **given)
    assert first.tokens[0, :, 0].tolist() == [1.0, 1.0, 9.0]
    assert first.pooled is to[0].pooled
    assert second.tokens[0, :, 0].tolist() == [2.0, 2.0, 2.0, 9.0]


@pytest.mark.parametrize("node", ["ConditioningAverage", "ConditioningConcat"])
def test_what_does_not_fit_is_told(run: Any, node: str) -> None:
    more = {"conditioning_to_strength": 0.5} if node == "ConditioningAverage" else {}
    other = [Conditioning(torch.zeros(1, 77, 16))]
    with pytest.raises(BadInput, match="8 and of 16 channels"):
        run.node(node, conditioning_to=condition(1.0), conditioning_from=other, **more)
    with pytest.raises(BadInput, match="empty"):
        run.node(node, conditioning_to=condition(1.0), conditioning_from=[], **more)


def test_zero_out_keeps_shapes(run: Any) -> None:
    (zero,) = run.node("ConditioningZeroOut", conditioning=condition(1.0, pooled=2.0))
    assert (zero.tokens.shape, zero.tokens.count_nonzero(), zero.pooled.count_nonzero()) == ((1, 77, 8), 0, 0)


def test_areas(run: Any) -> None:
    given = condition(1.0)
    (pixels,) = run.node("ConditioningSetArea", conditioning=given, width=96, height=128, x=64, y=32, strength=0.5)
    assert (pixels.area, pixels.strength) == (Area(16, 12, 4, 8), 0.5)
    (shares,) = run.node(
        "ConditioningSetAreaPercentage", conditioning=given, width=0.5, height=0.25, x=0.1, y=0.2, strength=1.0
    )
    assert shares.area == Area(0.25, 0.5, 0.2, 0.1, relative=True)
    (frames,) = run.node(
        "ConditioningSetAreaPercentageVideo", conditioning=given, width=0.5, height=0.25, temporal=0.5, x=0.1, y=0.2,
        z=0.3, strength=1.0,
    )  # fmt: skip
    assert frames.area == shares.area
    (stronger,) = run.node("ConditioningSetAreaStrength", conditioning=[pixels], strength=2.0)
    assert (stronger.area, stronger.strength) == (pixels.area, 2.0)
    assert given[0].area is None


def test_mask_of_one_picture_becomes_a_batch(run: Any) -> None:
    mask = torch.ones(4, 6)
    (masked,) = run.node(
        "ConditioningSetMask", conditioning=condition(1.0), mask=mask, strength=0.7, set_cond_area="mask bounds"
    )
    assert (masked.mask.shape, masked.mask_strength, masked.mask_bounds) == ((1, 4, 6), 0.7, True)


def test_range_of_a_run(run: Any) -> None:
    (part,) = run.node("ConditioningSetTimestepRange", conditioning=condition(1.0), start=0.25, end=0.5)
    assert (part.start_percent, part.end_percent) == (0.25, 0.5)
    with pytest.raises(BadInput, match=r"starts at 0\.8 and ends before, at 0\.2"):
        run.node("ConditioningSetTimestepRange", conditioning=condition(1.0), start=0.8, end=0.2)


def test_sdxl_reads_a_text_a_model(run: Any, clip_of: Callable[[str], TextEncoder]) -> None:
    clip = clip_of("sdxl")
    (plain,) = run.node("CLIPTextEncode", text="a cat", clip=clip)
    (same,) = run.node("CLIPTextEncodeSDXL", clip=clip, text_g="a cat", text_l="a cat", **SIZES)
    (other,) = run.node("CLIPTextEncodeSDXL", clip=clip, text_g="a cat", text_l="a dog", **SIZES)
    assert torch.equal(same.tokens, plain.tokens)
    assert same.extra == SIZES
    assert torch.equal(other.tokens[..., 64:], plain.tokens[..., 64:])
    assert not torch.allclose(other.tokens[..., :64], plain.tokens[..., :64])
    (long,) = run.node("CLIPTextEncodeSDXL", clip=clip, text_g="cat " * 100, text_l="", **SIZES)
    assert long.tokens.shape == (1, 154, 128)


def test_texts_for_models_that_are_not_there(
    run: Any, clip_of: Callable[[str], TextEncoder], caplog: pytest.LogCaptureFixture
) -> None:
    (only_l,) = run.node("CLIPTextEncodeSDXL", clip=clip_of("sd1"), text_g="a", text_l="b", **SIZES)
    (plain,) = run.node("CLIPTextEncode", clip=clip_of("sd1"), text="b")
    assert torch.equal(only_l.tokens, plain.tokens)
    assert "texts for g are not used" in caplog.text
    with pytest.raises(BadInput, match="hydit_clip, mt5xl; this CLIP has l"):
        run.node("CLIPTextEncodeHunyuanDiT", clip=clip_of("sd1"), bert="a", mt5xl="b")
    with pytest.raises(BadInput, match="no text model"):
        run.node("CLIPTextEncodeSDXL", clip=None, text_g="a", text_l="b", **SIZES)


def test_sd3_leaves_empty_texts_out(run: Any, clip_of: Callable[[str], TextEncoder]) -> None:
    def encoded(padding: str, family: str = "sd3", **texts: str) -> Conditioning:
        given = {"clip_l": "", "clip_g": "", "t5xxl": ""} | texts
        (result,) = run.node("CLIPTextEncodeSD3", clip=clip_of(family), empty_padding=padding, **given)
        assert isinstance(result, Conditioning)
        return result

    nothing, empty = encoded("none"), encoded("empty_prompt")
    assert torch.equal(nothing.tokens, torch.zeros(1, 77, 4096))
    assert empty.tokens.count_nonzero() > 0
    assert torch.equal(encoded("none", clip_g="b").tokens, encoded("empty_prompt", clip_g="b").tokens)
    # T5 sees its end token alone.
    assert encoded("none", "flux", clip_l="a").tokens.shape[1] == 1
    assert encoded("empty_prompt", "flux", clip_l="a").tokens.shape[1] == 256


def test_flux_guidance_is_carried(run: Any, clip_of: Callable[[str], TextEncoder]) -> None:
    given = run.node("CLIPTextEncodeFlux", clip=clip_of("flux"), clip_l="a", t5xxl="b", guidance=2.5)
    (plain,) = run.node("CLIPTextEncode", clip=clip_of("flux"), text="b")
    assert torch.equal(given[0].tokens, plain.tokens)
    assert given[0].extra == {"guidance": 2.5}
    assert run.node("FluxGuidance", conditioning=given, guidance=4.0)[0].extra["guidance"] == 4.0
    assert run.node("FluxDisableGuidance", conditioning=given)[0].extra["guidance"] is None


def test_paddings_of_t5(run: Any, clip_of: Callable[[str], TextEncoder]) -> None:
    clip = run.node("T5TokenizerOptions", clip=clip_of("flux"), min_padding=0, min_length=3)
    (short,) = run.node("CLIPTextEncode", clip=clip, text="a")
    assert short.tokens.shape[1] == 3
    assert run.node("CLIPTextEncode", clip=clip_of("flux"), text="a")[0].tokens.shape[1] == 256


def test_forms_of_other_families(run: Any, clip_of: Callable[[str], TextEncoder]) -> None:
    clip = clip_of("sd1")
    (sized,) = run.node("CLIPTextEncodePixArtAlpha", clip=clip, text="a", width=512, height=768)
    assert sized.extra == {"width": 512, "height": 768}
    (instructed,) = run.node("CLIPTextEncodeLumina2", clip=clip, system_prompt="superior", user_prompt="a")
    (by_hand,) = run.node(
        "CLIPTextEncode", clip=clip,
        text=(
            "You are an assistant designed to generate superior images with the superior degree of image-text "
            "alignment based on textual prompts or user prompts. <Prompt Start> a"
        ),
    )  # fmt: skip
    assert torch.equal(instructed.tokens, by_hand.tokens)
    (controlled,) = run.node("CLIPTextEncodeControlnet", clip=clip, conditioning=condition(1.0), text="a")
    assert controlled.extra["cross_attn_controlnet"].shape == (1, 77, 64)


def test_pictures_to_edit_become_references(
    run: Any, clip_of: Callable[[str], TextEncoder], family_checkpoint: Callable[[str], Path]
) -> None:
    class Halving:
        downscale = 8

        def encode(self, images: Tensor) -> Tensor:
            return images.movedim(-1, 1)[..., ::8, ::8]

    pictures = {"image1": torch.rand(1, 32, 64, 4), "image3": torch.rand(1, 40, 40, 3)}
    (edited,) = run.node("TextEncodeQwenImageEditPlus", clip=clip_of("sd1"), prompt="a", vae=Halving(), **pictures)
    assert [tuple(each.shape) for each in edited.extra["reference_latents"]] == [(1, 3, 91, 181), (1, 3, 128, 128)]
    (text,) = run.node("TextEncodeQwenImageEdit", clip=clip_of("sd1"), prompt="a")
    assert "reference_latents" not in text.extra


def test_embeddings_are_found_in_subfolders(run: Any, clip_of: Callable[[str], TextEncoder]) -> None:
    from safetensors.torch import save_file

    (run.base / "models/embeddings/styles").mkdir()
    save_file({"emb_params": torch.ones(1, 64)}, run.base / "models/embeddings/styles/ink.safetensors")
    plain, styled, full = (
        run.node("CLIPTextEncode", clip=clip_of("sd1"), text=text)[0].tokens
        for text in ("cat", "cat embedding:ink", "cat embedding:styles/ink")
    )
    assert not torch.equal(styled, plain)
    assert torch.equal(styled, full)
