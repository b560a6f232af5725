"""Checks of weight patches: LoRA files in every layout, over a UNet and a text model."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.hypernetworks import apply_hypernetwork, hypernetwork_of
from comfykernel_core_nodes.diffusion.lora import apply_lora
from comfykernel_core_nodes.diffusion.lora_names import model_names, text_names
from comfykernel_core_nodes.diffusion.memory import Part, default_memory
from comfykernel_core_nodes.golden import recipe
from comfykernel_core_nodes.golden.network_checks import recorded
from comfykernel_core_nodes.golden.records import Case, Records, Tolerance, differences, unequal
from comfykernel_core_nodes.golden.tiny_models import TinyModels

TOLERANCE: Final = Tolerance(1e-4, 1e-4)
UNET_PREFIX: Final = "diffusion_model."
TEXT_PREFIX: Final = "clip_l.transformer.text_model."


class PatchChecks:
    """The group `lora`."""

    def __init__(self, records: Records, models: TinyModels) -> None:
        self._records = records
        self._group: dict[str, Any] = records.group("lora")
        self._models = models

    def check(self, case: Case) -> list[str]:
        """What is wrong with a case."""
        if case.name.startswith("keymap/"):
            return self._check_names(case)
        if case.name.startswith("hypernetwork/"):
            return self._check_hypernetwork(case)
        default_memory().free()
        return self._check_text(case) if "encoder" in case.inputs else self._check_unet(case)

    def _check_names(self, case: Case) -> list[str]:
        name = case.name.removeprefix("keymap/")
        if name.endswith("_clip"):
            parts = self._models.text(f"{name.removesuffix('_clip')}_text").parts
            got = {
                accepted: f"clip_{part}.transformer.{_text_folder(module)}{module}.weight"
                for part, each in parts.items()
                for accepted, module in text_names(part, each.weights.source.shapes, parts).items()
            }
        else:
            known = model_names(self._models.diffusion(name).weights.source.shapes)
            tensors = {module: target.tensor for module, target in known.targets.items()}
            got = {
                accepted: UNET_PREFIX + tensors.get(module, f"{module}.weight")
                for accepted, module in known.names.items()
            }
        # The records also hold names that follow from a pattern and mean tensors that the model does not have.
        has = self._records.models[f"{name.removesuffix('_clip')}_text" if name.endswith("_clip") else name]["keys"]
        prefix = "te." if name.endswith("_clip") else "model."
        wanted = {accepted: tensor for accepted, tensor in case.expect["map"].items() if prefix + tensor in has}
        lacking = sorted(accepted for accepted in wanted if got.get(accepted) != wanted[accepted])
        return unequal("lacking", lacking, []) + unequal("more", sorted(got.keys() - wanted.keys()), [])

    def _check_hypernetwork(self, case: Case) -> list[str]:
        activation = case.inputs["activation_func"]
        pairs = {
            int(width): [
                {key: recipe.weight(f"hn/{activation}/{width}/{which}/{key}", shape) for key, shape in shapes.items()}
                for which, shapes in enumerate(pair)
            ]
            for width, pair in case.inputs["keys"].items()
        }
        network = hypernetwork_of(pairs, activation, normed=case.inputs["is_layer_norm"])
        given = self._group["input"]
        model = apply_hypernetwork(self._models.diffusion(given["model"]), network, case.inputs["strength"])
        module = default_memory().module(model.weights, Part.DIFFUSION)
        with torch.inference_mode():
            out = module(
                recorded(given["x"]),
                torch.tensor([given["timestep"]]),
                recorded(given["context"]),
                hooks=model.hooks,
            )
        return differences({"out": out}, case.tensors, TOLERANCE)

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


def _text_folder(module: str) -> str:
    """Where the recorded names of a text model's weights have the module."""
    return "" if module == "text_projection" else "text_model."
