"""Finding the text models of a family, in a checkpoint or in files of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from comfykernel_core_nodes.diffusion.clip_text import Activation
from comfykernel_core_nodes.diffusion.text_encoding import first_of
from comfykernel_core_nodes.diffusion.text_layouts import TextKind, clip_plan, t5_plan, text_kind
from comfykernel_sdk.families import ModelHeader, NetworkPlan, TextModelPlan, TextPlan

ACTIVATIONS: Final[dict[TextKind, Activation]] = {"clip_l": "quick_gelu", "clip_g": "gelu", "clip_h": "gelu"}


def find_clip(files: Sequence[ModelHeader], kind: TextKind, prefixes: Sequence[str]) -> NetworkPlan | None:
    """The CLIP model of a kind: below one of a checkpoint's prefixes, else alone in a file."""
    for file in files:
        for prefix in prefixes:
            plan = clip_plan(file.below(prefix), ACTIVATIONS[kind])
            if plan is not None:
                return plan
    for file in files:
        if text_kind(file) == kind:
            return clip_plan(file, ACTIVATIONS[kind])
    return None


def find_t5(files: Sequence[ModelHeader], prefixes: Sequence[str]) -> NetworkPlan | None:
    """The T5 encoder: below one of a checkpoint's prefixes, else alone in a file."""
    for file in files:
        for prefix in (*prefixes, ""):
            plan = t5_plan(file.below(prefix))
            if plan is not None:
                return plan
    return None


def single_text_plan(name: str, network: NetworkPlan, reader: str) -> TextPlan:
    """The plan of a family with one text model."""
    return TextPlan({name: TextModelPlan(network, reader)}, first_of)
