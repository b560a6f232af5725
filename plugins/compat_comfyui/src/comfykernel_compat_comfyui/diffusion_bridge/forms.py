"""Registers the forms in which packs know models, text models, autoencoders and conditions."""

from __future__ import annotations

from ..class_nodes.borders import register_forms, register_list_form


def install_forms() -> None:
    """Have values converted at the border."""
    from .codec_face import VAE, vae_of
    from .conditions import are_pairs, from_pairs, to_pair
    from .library import Conditioning, DiffusionModel, ImageCodec, TextEncoder
    from .patcher import ModelPatcher, handle_of, patcher_of
    from .text_face import CLIP, clip_of

    register_forms(Conditioning, _Nothing, wrap=to_pair, unwrap=lambda value: value)
    register_list_form(are_pairs, unwrap=from_pairs)
    register_forms(DiffusionModel, ModelPatcher, wrap=patcher_of, unwrap=handle_of)
    register_forms(TextEncoder, CLIP, wrap=clip_of, unwrap=lambda clip: clip.handle)  # type: ignore[attr-defined]
    register_forms(ImageCodec, VAE, wrap=vae_of, unwrap=lambda vae: vae.handle)  # type: ignore[attr-defined]


class _Nothing:
    """Stands where packs have no class."""
