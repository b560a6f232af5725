"""Training of the demo model in small: the laid colour path, steps that can be repeated, runs that go on."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from comfykernel_demo_model.colour_path import lay_colour_path, rgb_to_latent
from comfykernel_demo_model.drawing import all_scenes, draw
from comfykernel_demo_model.networks import FAMILY, Networks, build_networks, load_checkpoint, save_checkpoint
from comfykernel_demo_model.pictures import draw_latents, mean_colours, to_pictures, to_tensor
from comfykernel_demo_model.progress import learning_rate
from comfykernel_demo_model.schedule import sample_euler, signal_levels
from comfykernel_demo_model.train_decoder import train_decoder
from comfykernel_demo_model.train_diffusion import Learner, Run, Stage, train_stage, used_tokens


def networks() -> Networks:
    torch.manual_seed(5)
    return build_networks()


def pictures(count: int, side: int) -> Tensor:
    rng = random.Random(2)
    return to_tensor([draw(rng.choice(all_scenes()), side, rng) for _ in range(count)])


def stage(steps: int) -> Stage:
    return Stage("tiny", 64, 2, steps, peak_rate=1e-3, last_rate=0.1, warm_up=10, layout_every=2)


def test_laid_path_encodes_mean_colours_and_decodes_blocks() -> None:
    codec = networks().autoencoder
    lay_colour_path(codec)
    images = pictures(3, 64)
    with torch.no_grad():
        latents = codec.encode(images)
        decoded = codec.decode(latents)
    torch.testing.assert_close(latents * FAMILY.latent_scale, rgb_to_latent(mean_colours(images)), rtol=0, atol=0.04)
    blocks = functional.interpolate(mean_colours(images), scale_factor=8)
    torch.testing.assert_close(decoded, blocks, rtol=0, atol=0.04)


def test_drawn_latents_are_those_of_the_encoder() -> None:
    scenes = all_scenes()[:4]
    drawn = draw_latents(scenes, 128, random.Random(1))
    rng = random.Random(1)
    encoded = rgb_to_latent(mean_colours(to_tensor([draw(scene, 128, rng) for scene in scenes])))
    assert drawn.shape == (4, 4, 16, 16)
    assert (drawn - encoded).abs().mean() < 0.02


def test_pictures_survive_tensors() -> None:
    picture = draw(all_scenes()[0], 64, random.Random(0))
    assert to_pictures(to_tensor([picture]))[0].tobytes() == picture.tobytes()


def test_noise_schedule_is_that_of_sd1() -> None:
    levels = signal_levels()
    sigmas = ((1 - levels) / levels).sqrt()
    assert sigmas[0].item() == pytest.approx(0.0291675, rel=1e-4)
    assert sigmas[-1].item() == pytest.approx(14.614643, rel=1e-4)


def test_euler_finds_the_only_possible_picture() -> None:
    target = torch.linspace(-1, 1, 16).view(1, 1, 4, 4)
    levels = signal_levels()

    def denoise(x: Tensor, timesteps: Tensor) -> Tensor:
        level = levels[timesteps.round().long()].view(-1, 1, 1, 1)
        return (x - level.sqrt() * target) / (1 - level).sqrt()

    found = sample_euler(denoise, torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0)), 20)
    torch.testing.assert_close(found, target, rtol=0, atol=0.05)


def test_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(step, 100, peak=1.0, warm_up=10, last=0.1) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == 1.0
    assert rates[100] == pytest.approx(0.1)


def test_used_tokens_cover_the_language() -> None:
    used = set(used_tokens().tolist())
    assert {49406, 49407} < used
    assert set(FAMILY.tokenize([scene.prompt for scene in all_scenes()]).flatten().tolist()) <= used
    assert len(used) < 50


def test_stopped_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole = Run(Learner(networks()), tmp_path / "whole", 1)
    train_stage(whole, stage(2))
    train_stage(Run(Learner(networks()), tmp_path / "parts", 1), stage(1))
    resumed = Run(Learner(networks()), tmp_path / "parts", 1)
    assert resumed.done == {"tiny": 1}
    train_stage(resumed, stage(2))
    for expected, got in zip(whole.average, resumed.average, strict=True):
        assert torch.equal(expected, got)


def test_checkpoint_holds_the_average_and_loads(tmp_path: Path) -> None:
    made = networks()
    lay_colour_path(made.autoencoder)
    run = Run(Learner(made), tmp_path, 1)
    train_stage(run, stage(1))
    run.averaged()
    path = tmp_path / "out" / "tiny.safetensors"
    save_checkpoint(made, path)
    assert [file.name for file in path.parent.iterdir()] == ["tiny.safetensors"]
    loaded = load_checkpoint(path)
    ids = FAMILY.tokenize(["a red circle"])
    with torch.no_grad():
        expected, got = made.text_encoder(ids).hidden, loaded.text_encoder(ids).hidden
    torch.testing.assert_close(got, expected, rtol=0, atol=0.01)


def test_weights_beyond_float16_are_not_written(tmp_path: Path) -> None:
    made = networks()
    with torch.no_grad():
        made.unet.out[2].bias[0] = 1e6
    with pytest.raises(ValueError, match=r"float16: model\.diffusion_model\.out\.2\.bias"):
        save_checkpoint(made, tmp_path / "bad.safetensors")
    assert not any(tmp_path.iterdir())


def test_decoder_training_keeps_the_colour_path(tmp_path: Path) -> None:
    codec = networks().autoencoder
    train_decoder(codec, tmp_path, steps=2, seed=1)
    assert {file.name for file in tmp_path.iterdir()} == {"decoder.pt", "decoder_00002.png"}
    shortcut = codec.decoder.up[0].block[0].nin_shortcut
    assert shortcut.weight[0, 0].item() == 1
    assert shortcut.weight[1, 0].item() == -1
    assert shortcut.bias[2].item() == 30
    plain = torch.full((1, 3, 64, 64), 0.5)
    with torch.no_grad():
        assert (codec.decode(codec.encode(plain)) - 0.5).abs().mean() < 0.05
