"""What models that fill, edit or turn pictures are shown, and what is said about pictures that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from comfykernel_core_nodes.diffusion.clip_vision import VisionEncoding
from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.nodes.editing.novel_views import camera_vectors
from comfykernel_core_nodes.nodes.latent.pixels import PixelCodec
from comfykernel_sdk.errors import BadInput

PLAIN = [Conditioning(torch.zeros(1, 77, 64))]


@pytest.fixture
def run(node_run: Callable[..., Any]) -> Any:
    return node_run()


@pytest.fixture
def vae(run: Any, tiny_checkpoint: Path) -> object:
    (run.base / "models/checkpoints/tiny.safetensors").symlink_to(tiny_checkpoint)
    return run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")[2]


class FixedVision:
    """An image encoder that sees the same in every picture."""

    def encode(self, images: torch.Tensor, *, crop: bool = True) -> VisionEncoding:
        tokens = torch.ones(len(images), 3, 8)
        return VisionEncoding(tokens, tokens, torch.full((len(images), 8), 0.5))


def filled(run: Any, vae: object, **values: Any) -> Any:
    given = {"pixels": torch.rand(1, 64, 64, 3), "mask": torch.ones(1, 64, 64), "noise_mask": True, **values}
    return run.node("InpaintModelConditioning", positive=PLAIN, negative=PLAIN, vae=vae, **given)


def test_inpainting_shows_the_rest_of_the_picture_and_keeps_it(run: Any, vae: Any) -> None:
    pixels, mask = torch.rand(1, 64, 64, 3), torch.zeros(1, 64, 64)
    mask[:, 16:32] = 1.0
    positive, negative, latent = filled(run, vae, pixels=pixels, mask=mask)
    hidden = pixels.clone()
    hidden[:, 16:32] = 0.5
    assert torch.allclose(positive[0].extra["concat_latent_image"], vae.encode(hidden), atol=1e-5)
    assert torch.equal(positive[0].extra["concat_mask"], mask[:, None])
    assert negative[0].extra.keys() == positive[0].extra.keys()
    assert torch.allclose(latent["samples"], vae.encode(pixels), atol=1e-5)
    assert torch.equal(latent["noise_mask"], mask[:, None])
    assert "noise_mask" not in filled(run, vae, noise_mask=False)[2]
    assert not PLAIN[0].extra


@pytest.mark.parametrize(
    ("pixels", "mask", "shape"),
    [
        ((1, 70, 61, 3), (1, 35, 30), (1, 1, 64, 56)),
        ((2, 64, 64, 4), (64, 64), (1, 1, 64, 64)),
        ((1, 64, 64, 3), (3, 8, 8), (3, 1, 64, 64)),
        ((2, 64, 72, 3), (2, 64, 72), (2, 1, 64, 72)),
    ],
)
def test_masks_of_other_sizes_and_numbers(
    run: Any, vae: object, pixels: tuple[int, ...], mask: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    positive, _, latent = filled(run, vae, pixels=torch.rand(pixels), mask=torch.rand(mask))
    assert tuple(latent["noise_mask"].shape) == shape
    assert tuple(latent["samples"].shape[2:]) == (shape[2] // 8, shape[3] // 8)
    seen = positive[0].extra["concat_latent_image"]
    assert tuple(seen.shape) == (max(pixels[0], shape[0]), 4, shape[2] // 8, shape[3] // 8)


@pytest.mark.parametrize(
    ("pixels", "mask", "told"),
    [
        ((3, 64, 64, 3), (2, 64, 64), "3 pictures and 2 masks"),
        ((1, 64, 64, 3), (0, 64, 64), "empty"),
        ((1, 4, 64, 3), (1, 4, 64), "too small"),
        ((1, 64, 64, 1), (1, 64, 64), r"\[batch, height, width, 3\]"),
    ],
)
def test_masks_and_pictures_that_do_not_fit(
    run: Any, vae: object, pixels: tuple[int, ...], mask: tuple[int, ...], told: str
) -> None:
    with pytest.raises(BadInput, match=told):
        filled(run, vae, pixels=torch.rand(pixels), mask=torch.rand(mask))


def test_a_checkpoint_without_autoencoder_is_told(run: Any) -> None:
    with pytest.raises(BadInput, match="no autoencoder"):
        filled(run, None)


def test_editing_shows_the_whole_picture(run: Any, vae: Any) -> None:
    pixels = torch.rand(2, 68, 64, 3)
    positive, negative, latent = run.node(
        "InstructPixToPixConditioning", positive=PLAIN, negative=PLAIN, vae=vae, pixels=pixels
    )
    seen = positive[0].extra["concat_latent_image"]
    assert torch.allclose(seen, vae.encode(pixels[:, 2:66]), atol=1e-5)
    assert negative[0].extra["concat_latent_image"] is seen
    assert tuple(latent["samples"].shape) == (2, 4, 8, 8)
    assert not latent["samples"].any()


def test_references_add_up(run: Any) -> None:
    first, second = ({"samples": torch.full((1, 4, 8, 8), value)} for value in (1.0, 2.0))
    once = run.node("ReferenceLatent", conditioning=PLAIN, latent=first)
    twice = run.node("ReferenceLatent", conditioning=once, latent=second)
    assert [float(each.max()) for each in twice[0].extra["reference_latents"]] == [1.0, 2.0]
    assert len(once[0].extra["reference_latents"]) == 1
    assert run.node("ReferenceLatent", conditioning=PLAIN) == PLAIN
    placed = run.node("FluxKontextMultiReferenceLatentMethod", conditioning=twice, reference_latents_method="uxo/uno")
    assert placed[0].extra["reference_latents_method"] == "uxo"


@pytest.mark.parametrize(
    ("height", "width", "size"), [(64, 64, (1024, 1024)), (100, 400, (672, 1568)), (300, 200, (1248, 832))]
)
def test_kontext_sizes(run: Any, height: int, width: int, size: tuple[int, int]) -> None:
    scaled = run.node("FluxKontextImageScale", image=torch.rand(1, height, width, 3))
    assert tuple(scaled.shape[1:3]) == size


def test_cameras_of_zero123() -> None:
    cameras = camera_vectors([0.0, 30.0], [90.0, 180.0])
    assert tuple(cameras.shape) == (2, 1, 4)
    half_pi = torch.pi / 2
    expected = torch.tensor([[0.0, 1.0, 0.0, half_pi], [-torch.pi / 6, 0.0, -1.0, half_pi]])
    assert torch.allclose(cameras[:, 0], expected, atol=1e-6)


def test_views_in_one_batch_have_the_same_noise(run: Any) -> None:
    positive, negative, latent = run.node(
        "StableZero123_Conditioning_Batched", clip_vision=FixedVision(), init_image=torch.rand(1, 40, 60, 3),
        vae=PixelCodec(), width=32, height=24, batch_size=3, elevation=10.0, azimuth=0.0,
        elevation_batch_increment=0.0, azimuth_batch_increment=120.0,
    )  # fmt: skip
    assert tuple(positive[0].tokens.shape) == (3, 1, 12)
    assert torch.equal(positive[0].tokens[1, 0, 8:], camera_vectors([10.0], [120.0])[0, 0])
    assert not negative[0].tokens.any()
    assert latent["batch_index"] == [0, 0, 0]
    assert tuple(latent["samples"].shape) == (3, 4, 3, 4)
    assert tuple(positive[0].extra["concat_latent_image"].shape) == (1, 3, 24, 32)


def test_a_walk_around_a_thing(run: Any) -> None:
    positive, _, latent = run.node(
        "SV3D_Conditioning", clip_vision=FixedVision(), init_image=torch.rand(1, 32, 32, 3), vae=PixelCodec(),
        width=32, height=32, video_frames=5, elevation=12.0,
    )  # fmt: skip
    assert positive[0].extra["azimuth"] == [0.0, 90.0, 180.0, 270.0, 360.0]
    assert positive[0].extra["elevation"] == [12.0] * 5
    assert len(latent["samples"]) == 5


def test_a_film_that_begins_with_a_picture(run: Any) -> None:
    positive, negative, latent = run.node(
        "SVD_img2vid_Conditioning", clip_vision=FixedVision(), init_image=torch.rand(1, 32, 32, 3), vae=PixelCodec(),
        width=32, height=16, video_frames=14, motion_bucket_id=127, fps=6, augmentation_level=0.0,
    )  # fmt: skip
    assert {"motion_bucket_id", "fps", "augmentation_level"} <= positive[0].extra.keys() & negative[0].extra.keys()
    assert not negative[0].extra["concat_latent_image"].any()
    assert tuple(latent["samples"].shape) == (14, 4, 2, 4)


class FilmCodec:
    """A VAE of films whose latents tell which frames they were made of."""

    downscale = 8

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        frames = images[::8, ::8, ::8].mean(dim=-1)
        return frames[None, None].expand(1, 16, -1, -1, -1)


def test_given_pictures_of_a_film_stay(run: Any) -> None:
    latent = run.node(
        "CosmosImageToVideoLatent", vae=FilmCodec(), width=32, height=16, length=25, batch_size=2,
        start_image=torch.full((1, 16, 32, 3), 0.75), end_image=torch.full((9, 16, 32, 3), 0.25),
    )  # fmt: skip
    assert tuple(latent["samples"].shape) == (2, 16, 4, 2, 4)
    assert latent["noise_mask"][0, 0, :, 0, 0].tolist() == [0.0, 1.0, 0.0, 0.0]
    assert latent["samples"][0, 0, :, 0, 0].tolist() == pytest.approx([0.75, 0.0, 0.25, 0.25])


def test_a_vae_of_pictures_makes_no_film(run: Any, vae: object) -> None:
    with pytest.raises(BadInput, match="VAE of films with 16 channels"):
        run.node(
            "CosmosPredict2ImageToVideoLatent", vae=vae, width=64, height=64, length=5, batch_size=1,
            start_image=torch.rand(1, 64, 64, 3),
        )  # fmt: skip


def test_stable_cascade(run: Any) -> None:
    first, second = run.node("StableCascade_EmptyLatentImage", width=1024, height=768, compression=42, batch_size=2)
    assert tuple(first["samples"].shape) == (2, 16, 18, 24)
    assert tuple(second["samples"].shape) == (2, 4, 192, 256)
    (condition,) = run.node("StableCascade_StageB_Conditioning", conditioning=PLAIN, stage_c=first)
    assert condition.extra["stable_cascade_prior"] is first["samples"]


def test_several_references_at_once(run: Any) -> None:
    images = {"image0": torch.zeros(1, 32, 64, 3), "image1": None, "image2": torch.ones(1, 16, 16, 4)}
    kept = {"resolution": "keep resolution"}
    positive, negative, blank = run.node(
        "ReferenceMultiLatent", positive=PLAIN, resolution=kept, images=images, vae=PixelCodec()
    )
    assert [tuple(each.shape[1:]) for each in positive[0].extra["reference_latents"]] == [(3, 32, 64), (3, 16, 16)]
    assert len(negative[0].extra["reference_latents"]) == 2
    assert tuple(blank["samples"].shape) == (1, 3, 32, 64)
    resized = {"resolution": "resize", "megapixels": 0.01}
    positive, *_ = run.node(
        "ReferenceMultiLatent", positive=PLAIN, resolution=resized, images=images, vae=PixelCodec(), negative=PLAIN
    )
    assert tuple(positive[0].extra["reference_latents"][0].shape[2:]) == (72, 145)
    with pytest.raises(BadInput, match="no autoencoder"):
        run.node("ReferenceMultiLatent", positive=PLAIN, resolution=kept, images=images, vae=None)


def test_lotus_is_told_what_to_use(run: Any) -> None:
    with pytest.raises(BadInput, match="CLIPTextEncode with an empty text"):
        run.node("LotusConditioning")
