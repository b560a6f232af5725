"""Checks of text models, T5 alone and CLIP vision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.clip_vision import ClipVisionModel
from comfykernel_core_nodes.diffusion.t5_encoder import T5Encoder
from comfykernel_core_nodes.diffusion.text_layouts import t5_plan
from comfykernel_core_nodes.diffusion.vision_encoding import vision_encoder, vision_plan
from comfykernel_core_nodes.golden import recipe
from comfykernel_core_nodes.golden.node_graphs import run_single
from comfykernel_core_nodes.golden.records import Absent, Case, Records, Tolerance, differences, unequal
from comfykernel_core_nodes.golden.tiny_models import TinyModels
from comfykernel_sdk.families import NetworkPlan, TextEncoding

TOLERANCE: Final = Tolerance(1e-4, 1e-4)
SD3_CHANNELS: Final = "cond_first_160_channels"


class TextChecks:
    """The group `text_encoders`."""

    def __init__(self, records: Records, models: TinyModels) -> None:
        self._records = records
        self._files: Mapping[str, Mapping[str, Any]] = records.group("text_encoders")["embedding_files"]
        self._models = models

    def check(self, case: Case) -> list[str]:
        """What is wrong with a case."""
        kind, second, *_ = case.name.split("/")
        if kind == "t5":
            return self._check_t5(case)
        if kind == "clip_vision":
            return self._check_vision(case)
        if second.startswith("CLIPTextEncode"):
            return self._check_node(second, case)
        clip = self._models.text(case.inputs["encoder"], half=case.inputs.get("weights") == "fp16")
        if case.inputs.get("clip_skip") is not None:
            clip = clip.with_last_layer(case.inputs["clip_skip"])
        projected = case.inputs.get("return_pooled") != "unprojected"
        encoding = clip.encode(clip.tokenize(case.inputs["prompt"], embeddings=self._rows), projected=projected)
        return self._compared(encoding, case)

    def _compared(self, encoding: TextEncoding, case: Case) -> list[str]:
        problems: list[str] = []
        got: dict[str, Tensor | None] = {"cond": encoding.hidden, "pooled_output": encoding.pooled}
        if SD3_CHANNELS in case.shapes:
            channels = case.shapes[SD3_CHANNELS]["shape"][-1]
            got[SD3_CHANNELS] = encoding.hidden[..., :channels]
            problems += unequal("cond_shape", list(encoding.hidden.shape), case.expect["cond_shape"])
            if case.expect["remaining_channels_all_zero"] and encoding.hidden[..., channels:].count_nonzero():
                problems.append("the remaining channels are not zero")
        return problems + differences(got, case.tensors, TOLERANCE)

    def _check_node(self, node: str, case: Case) -> list[str]:
        inputs = {"clip": self._models.text(case.inputs["encoder"])}
        names = {name: value for name, value in case.inputs.items() if name != "encoder"}
        numbers = {name: value for name, value in case.expect.get("dict", {}).items() if name not in names}
        if node == "CLIPTextEncodeSDXLRefiner":
            numbers["ascore"] = numbers.pop("aesthetic_score")
        ((conditions,),) = run_single(node, {**inputs, **names, **numbers})
        problems: list[str] = []
        for name, value in case.expect.get("dict", {}).items():
            problems += unequal(name, conditions[0].extra.get(name), value)
        return problems + self._compared(TextEncoding(conditions[0].tokens, conditions[0].pooled), case)

    def _check_t5(self, case: Case) -> list[str]:
        def plan(header: Any) -> NetworkPlan:
            found = t5_plan(header)
            if found is None:
                raise Absent("no T5 encoder")
            return found

        network = self._models.network(case.inputs["model"], plan)
        assert isinstance(network, T5Encoder)
        ids = torch.tensor(case.inputs["input_ids"])
        mask = None
        if "attention_mask" in case.inputs:
            mask = torch.ones_like(ids)
            mask[:, ids.shape[1] // 2 :] = 0
        with torch.inference_mode():
            got: dict[str, Tensor | None] = {"out": network(ids, mask=mask)}
            for output in case.shapes:
                if output.startswith("layer_"):
                    got[output] = network(ids, mask=mask, layer=int(output.removeprefix("layer_")))
        return differences(got, case.tensors, TOLERANCE)

    def _check_vision(self, case: Case) -> list[str]:
        record = self._records.models[case.inputs["model"]]
        header = self._models.header(case.inputs["model"]).below(str(record["prefix"]))
        plan = vision_plan(header)
        assert plan is not None
        assert isinstance(plan.build, partial)
        # The shapes of so small a model do not show its heads and activation.
        heads, activation = record["config"]["num_attention_heads"], record["config"]["hidden_act"]
        config = replace(plan.build.args[0], heads=heads, activation=activation)
        encoder = vision_encoder(replace(plan, build=partial(ClipVisionModel, config)))
        images, crop = recipe.image(*case.inputs["image"]), case.inputs["crop"]
        got = {"pixels": encoder.pixels(images, crop=crop), **encoder.encode(images, crop=crop)._asdict()}
        return differences(got, case.tensors, TOLERANCE)

    def _rows(self, name: str) -> dict[str, Tensor] | None:
        file = self._files.get(f"{name}.safetensors")
        if file is None:
            return None
        return {part: recipe.weight(key, shape) for part, (key, shape) in sorted(file.items())}
