"""Models, text models, autoencoders and conditions that flow between nodes of packs and of comfykernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import comfykernel_demo_model
from comfykernel_compat_comfyui import peer_names
from comfykernel_compat_comfyui.class_nodes.borders import from_pack, to_pack
from comfykernel_compat_comfyui.diffusion_bridge import library
from comfykernel_compat_comfyui.diffusion_bridge.forms import install_forms
from comfykernel_compat_comfyui.shims.comfy import sample as pack_sample
from comfykernel_compat_comfyui.shims.comfy import sd
from comfykernel_compat_comfyui.shims.comfy.samplers import CFGGuider, KSampler, sampler_object
from comfykernel_sdk.nodes import definition_of
from comfykernel_sdk.testing import run_node

CHECKPOINT = Path(comfykernel_demo_model.__file__).parent / "checkpoints" / "demo.safetensors"
CLOSE = 1e-4


@pytest.fixture(scope="module", autouse=True)
def names_of_packs() -> Iterator[None]:
    peer_names.install()
    yield
    peer_names.uninstall()


@pytest.fixture(scope="module")
def parts() -> library.Checkpoint:
    install_forms()
    return library.load_checkpoint(CHECKPOINT)


@pytest.fixture(scope="module")
def conditions(parts: library.Checkpoint) -> tuple[list[Any], list[Any]]:
    clip: Any = to_pack(parts.clip)
    encoded = [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in ("a red circle", "")]
    return encoded[0], encoded[1]


def own_run(model: Any, conditions: tuple[list[Any], list[Any]], cfg: float = 4.0) -> Tensor:
    """What a node of comfykernel makes of a model that it gets from a pack."""
    from comfykernel_core_nodes.diffusion.sampling import sample_latent

    positive, negative = (from_pack(side) for side in conditions)
    handle: Any = from_pack(model)
    return sample_latent(
        handle, positive=positive, negative=negative, latent=torch.zeros(1, 4, 8, 8), seed=3, steps=2, cfg=cfg,
        sampler="euler", scheduler="normal",
    )  # fmt: skip


@pytest.fixture(scope="module")
def plain(parts: library.Checkpoint, conditions: tuple[list[Any], list[Any]]) -> Tensor:
    return own_run(to_pack(parts.model), conditions)


def test_untouched_values_come_back_as_they_were(parts: library.Checkpoint) -> None:
    for value in (parts.model, parts.clip, parts.vae):
        assert from_pack(to_pack(value)) is value
    assert from_pack(to_pack(parts.model)) is parts.model


def test_conditions_keep_all_that_they_carry(parts: library.Checkpoint) -> None:
    condition = library.Conditioning(
        tokens=torch.ones(1, 2, 3), pooled=torch.ones(1, 3), area=library.Area(0.5, 0.5, 0.0, 0.25, relative=True),
        strength=0.5, start_percent=0.1, extra={"width": 64},
    )  # fmt: skip
    ((tokens, entries),) = to_pack([condition])  # type: ignore[misc]
    assert entries["area"] == ("percentage", 0.5, 0.5, 0.0, 0.25)
    assert (entries["strength"], entries["start_percent"], entries["width"]) == (0.5, 0.1, 64)
    (back,) = from_pack([[tokens, {**entries, "mine": 1}]])  # type: ignore[misc]
    assert back.area == condition.area
    assert back.extra == {"width": 64, "mine": 1}
    assert back.pooled is condition.pooled


def test_a_guidance_function_acts_in_a_node_of_comfykernel(
    parts: library.Checkpoint, conditions: tuple[list[Any], list[Any]], plain: Tensor
) -> None:
    model: Any = to_pack(parts.model)
    seen: list[float] = []

    def same(args: dict[str, Any]) -> Tensor:
        seen.append(args["cond_scale"])
        guided: Tensor = args["uncond"] + (args["cond"] - args["uncond"]) * args["cond_scale"]
        return guided

    changed = model.clone()
    changed.set_model_sampler_cfg_function(same)
    assert torch.allclose(own_run(changed, conditions), plain, atol=CLOSE)
    assert seen == [4.0, 4.0]
    changed.set_model_sampler_post_cfg_function(lambda args: args["denoised"] * 0.0)
    assert not torch.allclose(own_run(changed, conditions), plain, atol=CLOSE)
    assert torch.allclose(own_run(model, conditions), plain, atol=CLOSE)


def test_guidance_of_both_acts_together(
    parts: library.Checkpoint, conditions: tuple[list[Any], list[Any]], plain: Tensor
) -> None:
    first: Any = to_pack(parts.model)
    first = first.clone()
    first.set_model_sampler_post_cfg_function(lambda args: args["denoised"] * 2.0)
    between = from_pack(first).with_guidance(  # type: ignore[attr-defined]
        library.Stages(after=(lambda denoised, step: denoised / 2.0,))
    )
    assert torch.allclose(own_run(to_pack(between), conditions), plain, atol=CLOSE)
    second: Any = to_pack(between)
    second = second.clone()
    second.set_model_sampler_pre_cfg_function(lambda args: [each * 0.0 for each in args["conds_out"]])
    seen: list[list[int]] = []
    second.set_model_unet_function_wrapper(
        lambda apply, told: seen.append(told["cond_or_uncond"]) or apply(told["input"], told["timestep"], **told["c"])
    )
    assert float(own_run(second, conditions).abs().max()) < float(plain.abs().max()) / 10
    assert seen == [[0, 1], [0, 1]]


def test_a_wrapper_stands_around_the_network(
    parts: library.Checkpoint, conditions: tuple[list[Any], list[Any]], plain: Tensor
) -> None:
    changed: Any = to_pack(parts.model)
    changed = changed.clone()
    calls: list[tuple[int, ...]] = []

    def wrapper(apply: Any, told: dict[str, Any]) -> Tensor:
        calls.append(tuple(told["cond_or_uncond"]))
        assert told["c"]["c_crossattn"].shape[0] == told["input"].shape[0]
        result: Tensor = apply(told["input"], told["timestep"], **told["c"])
        return result

    changed.set_model_unet_function_wrapper(wrapper)
    assert torch.allclose(own_run(changed, conditions), plain, atol=CLOSE)
    assert calls == [(0, 1), (0, 1)]


def test_an_attention_patch_sees_its_place(
    parts: library.Checkpoint, conditions: tuple[list[Any], list[Any]], plain: Tensor
) -> None:
    changed: Any = to_pack(parts.model)
    changed = changed.clone()
    places: set[tuple[str, int]] = set()

    def patch(q: Tensor, k: Tensor, v: Tensor, told: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        places.add(told["block"])
        return q, k, v * 0.0

    changed.set_model_attn2_patch(patch)
    assert not torch.allclose(own_run(changed, conditions), plain, atol=CLOSE)
    assert {kind for kind, _ in places} == {"input", "middle", "output"}


def test_options_survive_a_node_of_comfykernel(parts: library.Checkpoint) -> None:
    changed: Any = to_pack(parts.model)
    changed = changed.clone()
    changed.model_options["mine"] = 1
    again: Any = to_pack(from_pack(changed))
    assert again.model_options["mine"] == 1
    again.clone().model_options["mine"] = 2
    assert again.model_options["mine"] == 1


def test_packs_sample_as_nodes_of_comfykernel_do(
    parts: library.Checkpoint, conditions: tuple[list[Any], list[Any]], plain: Tensor
) -> None:
    model: Any = to_pack(parts.model)
    latent = torch.zeros(1, 4, 8, 8)
    noise = pack_sample.prepare_noise(latent, 3)
    result = pack_sample.sample(model, noise, 2, 4.0, "euler", "normal", *conditions, latent, seed=3)
    assert torch.allclose(result, plain, atol=CLOSE)
    sigmas = KSampler(model, 2, "cpu", "euler", "normal").sigmas

    class Halved(CFGGuider):
        def predict_noise(self, *args: Any, **kwargs: Any) -> Tensor:
            return super().predict_noise(*args, **kwargs) * 0.5

    guider = Halved(model)
    guider.set_conds(*conditions)
    guider.set_cfg(4.0)
    halved = guider.sample(noise, latent, sampler_object("euler"), sigmas, seed=3)
    assert not torch.allclose(halved, plain, atol=CLOSE)


def test_weights_are_patched_and_clones_share_them(
    parts: library.Checkpoint, conditions: tuple[list[Any], list[Any]], plain: Tensor
) -> None:
    model: Any = to_pack(parts.model)
    changed = model.clone()
    name, (weight,) = next((n, w) for n, w in changed.get_key_patches().items() if n.endswith("to_v.weight"))
    assert changed.add_patches({name: ("diff", (torch.ones_like(weight),)), "nothing": (weight,)}, 0.5) == [name]
    assert not torch.allclose(own_run(changed, conditions), plain, atol=CLOSE)
    assert torch.allclose(own_run(model, conditions), plain, atol=CLOSE)


def test_checkpoints_are_loaded_in_the_forms_that_packs_know() -> None:
    install_forms()
    model, clip, vae, vision = sd.load_checkpoint_guess_config(str(CHECKPOINT))
    assert vision is None
    assert model.get_model_object("model_sampling").sigma_max > 10
    assert model.model.latent_format.latent_channels == 4
    images = vae.decode(torch.zeros(1, 4, 8, 8))
    assert images.shape == (1, 64, 64, 3)
    assert vae.encode(images).shape == (1, 4, 8, 8)
    cond, pooled = clip.encode_from_tokens(clip.tokenize("a"), return_pooled=True)
    assert cond.shape[:2] == (1, 77)
    assert pooled.ndim == 2


def test_what_packs_change_in_sampling_holds_for_nodes_of_comfykernel(
    parts: library.Checkpoint, conditions: tuple[list[Any], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from comfykernel_compat_comfyui.loading.patched_sampling import changed_functions, heed_patches
    from comfykernel_compat_comfyui.shims import latent_preview, nodes
    from comfykernel_core_nodes.nodes.sampling.ksampler import ksampler

    definition = definition_of(ksampler)
    monkeypatch.setattr(definition, "run", definition.run)
    heed_patches({"KSampler": definition})
    nodes.NODE_CLASS_MAPPINGS.offer({"KSampler": definition})
    positive, negative = (from_pack(side) for side in conditions)

    def run() -> Any:
        given = {"positive": positive, "negative": negative, "latent_image": {"samples": torch.zeros(1, 4, 8, 8)}}
        return run_node(
            ksampler, model=parts.model, seed=3, steps=2, cfg=4.0, sampler_name="euler", scheduler="normal",
            denoise=1.0, **given,
        )  # fmt: skip

    plain = run().output["samples"]
    assert changed_functions() == []
    previewed: list[tuple[int, ...]] = []

    class Previewer(latent_preview.LatentPreviewer):
        def decode_latent_to_preview_image(self, preview_format: str, x0: Tensor) -> Any:
            previewed.append(tuple(x0.shape))

    monkeypatch.setattr(latent_preview, "get_previewer", lambda device, latent_format: Previewer())
    assert changed_functions() == ["latent_preview.get_previewer"]
    assert torch.allclose(run().output["samples"], plain, atol=CLOSE)
    assert previewed == [(1, 4, 8, 8)] * 2
    original = pack_sample.sample
    monkeypatch.setattr(pack_sample, "sample", lambda *args, **kwargs: original(*args, **kwargs) + 1.0)
    assert torch.allclose(run().output["samples"], plain + 1.0, atol=CLOSE)
