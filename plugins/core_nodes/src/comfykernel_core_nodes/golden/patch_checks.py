"""Checks of weight patches: LoRA files in every layout, over a UNet and a text model."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.lora import apply_lora
from comfykernel_core_nodes.diffusion.memory import Part, default_memory
from comfykernel_core_nodes.golden import recipe
from comfykernel_core_nodes.golden.network_checks import recorded
from comfykernel_core_nodes.golden.records import Absent, Case, Records, Tolerance, differences, unequal
from comfykernel_core_nodes.golden.tiny_models import TinyModels

TOLERANCE: Final = Tolerance(1e-4, 1e-4)
UNET_PREFIX: Final = "diffusion_model."
TEXT_PREFIX: Final = "clip_l.transformer.text_model."


class PatchChecks:
    """The group `lora`."""

    def __init__(self, records: Records, models: TinyModels) -> None:
        self._group: dict[str, Any] = records.group("lora")
        self._models = models

    def check(self, case: Case) -> list[str]:
        """What is wrong with a case."""
        if case.name.startswith(("keymap/", "hypernetwork/")):
            raise Absent(f"no check of {case.name.split('/')[0]}")
        default_memory().free()
        return self._check_text(case) if "encoder" in case.inputs else self._check_unet(case)

    def _file(self, name: str) -> dict[str, Tensor]:
        return {
            key: torch.tensor(float(shape))
            if isinstance(shape, int | float)
            else recipe.weight(f"lora/{name}/{key}", shape)
            for key, shape in self._group["files"][name].items()
        }

    def _check_text(self, case: Case) -> list[str]:
        clip = self._models.text(case.inputs["encoder"])
        patched = apply_lora(self._file(case.inputs["file"]), None, clip, 1.0, case.inputs["strength"]).clip
        assert patched is not None
        applied = sorted(TEXT_PREFIX + name for name in patched.parts["l"].weights.patches)
        encoding = patched.encode(patched.tokenize(case.inputs["prompt"]))
        got = {output: encoding.pooled if "pool" in output else encoding.hidden for output in case.shapes}
        problems = unequal("applied", applied, sorted(case.expect["applied"]))
        return problems + differences(got, case.tensors, TOLERANCE)

    def _check_unet(self, case: Case) -> list[str]:
        model = self._models.diffusion(self._group["input"]["model"])
        for name, strength in case.inputs.get("stack") or [[case.inputs["file"], case.inputs["strength"]]]:
            model = apply_lora(self._file(name), model, None, strength, 1.0).model or model
        problems: list[str] = []
        if "applied" in case.expect:
            applied = sorted(UNET_PREFIX + name for name in model.weights.patches)
            problems = unequal("applied", applied, sorted(case.expect["applied"]))
        network = default_memory().module(model.weights, Part.DIFFUSION)
        given = self._group["input"]
        with torch.inference_mode():
            out = network(recorded(given["x"]), torch.tensor([given["timestep"]]), recorded(given["context"]))
        got: dict[str, Tensor | None] = {"out": out}
        tensors = network.state_dict()
        for output in case.shapes:
            if output.startswith("weight:"):
                target = self._group["targets"][output.removeprefix("weight:")]["original"]
                got[output] = tensors[target.removeprefix(UNET_PREFIX)]
        return problems + differences(got, case.tensors, TOLERANCE)
