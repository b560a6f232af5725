"""Registers the forms in which packs know models, text models, autoencoders and conditions."""

from __future__ import annotations

from ..class_nodes.borders import register_forms, register_list_form


def install_forms() -> None:
    """Have values converted at the border."""
    from .codec_face import VAE, vae_of
    from .conditions import are_pairs, from_pairs, to_pair
    from .control_face import ControlNet, control_of
    from .library import (
        Conditioning,
        DiffusionModel,
        ImageCodec,
        StyleModel,
        TextEncoder,
        VisionEncoder,
        VisionEncoding,
    )
    from .library import ControlNet as ControlNetHandle
    from .patcher import ModelPatcher, handle_of, patcher_of
    from .text_face import CLIP, clip_of
    from .vision_face import ClipVisionModel, Output, StyleModelFace, encoding_of, output_of, style_of, vision_of

    register_forms(Conditioning, _Nothing, wrap=to_pair, unwrap=lambda value: value)
    register_list_form(are_pairs, unwrap=from_pairs)
    register_forms(DiffusionModel, ModelPatcher, wrap=patcher_of, unwrap=handle_of)
    register_forms(VisionEncoding, Output, wrap=output_of, unwrap=encoding_of)
    for ours, theirs, wrap in (
        (TextEncoder, CLIP, clip_of),
        (ImageCodec, VAE, vae_of),
        (VisionEncoder, ClipVisionModel, vision_of),
        (StyleModel, StyleModelFace, style_of),
        (ControlNetHandle, ControlNet, control_of),
    ):
        register_forms(ours, theirs, wrap=wrap, unwrap=_handle)


def _handle(face: object) -> object:
    return face.handle  # type: ignore[attr-defined]


class _Nothing:
    """Stands where packs have no class."""
