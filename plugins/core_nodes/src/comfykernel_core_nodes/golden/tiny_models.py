"""The tiny models of a folder of records, as handles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import partial
from typing import Any, Final, TypeVar, cast

import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.checkpoints import diffusion_model, image_codec, text_encoder
from comfykernel_core_nodes.diffusion.clip_text import ClipTextModel
from comfykernel_core_nodes.diffusion.control_loading import find_control_net
from comfykernel_core_nodes.diffusion.control_net import ControlNet
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.image_codec import ImageCodec
from comfykernel_core_nodes.diffusion.model_header import Header
from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_core_nodes.diffusion.text_encoding import TextEncoder
from comfykernel_core_nodes.diffusion.unet import UNet
from comfykernel_core_nodes.diffusion.unet_config import UNetConfig
from comfykernel_core_nodes.diffusion.upscalers import Upscaler, find_upscaler
from comfykernel_core_nodes.diffusion.weights import TensorSource, Weights, planned_weights
from comfykernel_core_nodes.golden.recipe import weight
from comfykernel_core_nodes.golden.records import Absent, Records
from comfykernel_sdk.families import (
    DiffusionPlan,
    LatentFormat,
    NetworkPlan,
    SamplingSpec,
    Shape,
    TextModelPlan,
    TextPlan,
    model_families,
)

# Ending of a model's name -> what is different from the model without it.
Made = TypeVar("Made")

VELOCITY_ENDING: Final = "_v"
OTHER_WEIGHTS_ENDING: Final = "_b"
# Text models by the name of their record: the family that has them.
TEXT_FAMILIES: Final = {
    "sd1_text": "sd1",
    "sd2_text": "sd2",
    "sdxl_text": "sdxl",
    "refiner_text": "sdxl_refiner",
    "sd3_text": "sd3",
    "flux_text": "flux",
}
RECORDED_TEXT_PREFIX: Final = "te."
TEXT_PREFIX: Final = "text_encoders."


class RecipeFile:
    """A model file whose tensors follow from their names."""

    metadata: Mapping[str, str] = {}

    def __init__(
        self,
        path: Any,
        shapes: Mapping[str, Shape],
        *,
        key: str = "",
        renamed: tuple[str, str] = ("", ""),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.path = path
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self._key, self._renamed, self._dtype = key, renamed, dtype

    def dtype(self, name: str) -> torch.dtype:
        """All tensors have one."""
        return self._dtype

    def read(self, names: Mapping[str, str]) -> dict[str, Tensor]:
        """Tensors by their names in the result."""
        return {name: self._made(source).to(self._dtype) for name, source in names.items()}

    def _made(self, name: str) -> Tensor:
        here, recorded = self._renamed
        return weight(self._key + recorded + name.removeprefix(here), self.shapes[name])


class TinyModels:
    """Makes each model once."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._made: dict[tuple[object, ...], Any] = {}

    def header(self, name: str, *, key: str = "", dtype: torch.dtype = torch.float32) -> Header:
        """The header of a model's file."""
        if name not in self._records.models:
            raise Absent(f"no model {name!r} in the records")
        return Header(RecipeFile(name, self._records.models[name]["keys"], key=key, dtype=dtype))

    def diffusion(self, name: str, prediction: str | None = None) -> DiffusionModel:
        """A diffusion model; `prediction` is EPS or V_PREDICTION where it is not the family's own."""
        return self._once(("diffusion", name, prediction), partial(self._diffusion, name, prediction))

    def codec(self, name: str) -> ImageCodec:
        """An autoencoder."""
        return self._once(("codec", name), partial(self._codec, name))

    def control(self, name: str) -> ControlNet:
        """A control network or an adapter."""
        return self._once(("control", name), lambda: find_control_net(self.header(name)))

    def upscaler(self, name: str) -> Upscaler:
        """An upscaling network."""
        return self._once(("upscaler", name), lambda: find_upscaler(self.header(name)))

    def text(self, name: str, *, half: bool = False) -> TextEncoder:
        """Text models; `half` rounds their weights to float16."""
        return self._once(("text", name, half), partial(self._text, name, half))

    def network(self, name: str, build: Callable[[Header], NetworkPlan]) -> nn.Module:
        """A network on the CPU by a plan."""

        def make() -> nn.Module:
            header = self.header(name)
            plan = build(header.below(str(self._records.models[name]["prefix"])))
            return planned_weights(plan).materialise(torch.device("cpu"), torch.float32)

        return self._once(("network", name), make)

    def _once(self, key: tuple[object, ...], make: Callable[[], Made]) -> Made:
        if key not in self._made:
            self._made[key] = make()
        return cast("Made", self._made[key])

    def _diffusion(self, name: str, prediction: str | None) -> DiffusionModel:
        base, key = name, ""
        if name not in self._records.models and name.endswith(VELOCITY_ENDING):
            base, prediction = name.removesuffix(VELOCITY_ENDING), "V_PREDICTION"
        elif name not in self._records.models and name.endswith(OTHER_WEIGHTS_ENDING):
            base, key = name.removesuffix(OTHER_WEIGHTS_ENDING), "b:"
        header = self.header(base, key=key).below(str(self._records.models[base]["prefix"]))
        for family in model_families():
            plan = family.diffusion_plan(header)
            if plan is not None:
                config = self._records.models[base]["unet_config"]
                model = diffusion_model(_with_recorded_heads(plan, config), family.name)
                spec = {"EPS": SamplingSpec("epsilon"), "V_PREDICTION": SamplingSpec("velocity")}
                is_unet = "model_channels" in config
                wanted = prediction or ("EPS" if is_unet else None)
                return model if wanted is None else model.with_sampling(ModelSampling.of(spec[wanted]))
        raise Absent(f"no family knows the model {name!r}")

    def _codec(self, name: str) -> ImageCodec:
        header = self.header(name).below(str(self._records.models[name]["prefix"]))
        for family in model_families():
            plan = family.codec_plan(header)
            if plan is not None:
                return image_codec(plan)
        raise Absent(f"no family knows the autoencoder {name!r}")

    def _text(self, name: str, half: bool) -> TextEncoder:
        keys = self._records.models[name]["keys"]
        dtype = torch.float16 if half else torch.float32
        # The records name tensors by module; checkpoints have them below another prefix.
        shapes = {TEXT_PREFIX + key.removeprefix(RECORDED_TEXT_PREFIX): shape for key, shape in keys.items()}
        header = Header(RecipeFile(name, shapes, renamed=(TEXT_PREFIX, RECORDED_TEXT_PREFIX), dtype=dtype))
        family = next((each for each in model_families() if each.name == TEXT_FAMILIES.get(name)), None)
        plan = None if family is None else family.text_plan([header])
        if plan is None:
            raise Absent(f"no family knows the text models {name!r}")
        return text_encoder(_with_recorded_text_heads(plan, self._records.models[name]["configs"]))


def _with_recorded_text_heads(plan: TextPlan, configs: Mapping[str, Any]) -> TextPlan:
    """Text models with the number of heads that the record names: shapes of tensors do not show it."""
    models: dict[str, TextModelPlan] = {}
    for name, model in plan.models.items():
        config = configs.get(f"clip_{name}_model_config")
        build = model.network.build
        if config is not None and isinstance(build, partial):
            own = replace(build.args[0], heads=config["num_attention_heads"])
            model = replace(model, network=replace(model.network, build=partial(ClipTextModel, own)))
        models[name] = model
    return replace(plan, models=models)


def _with_recorded_heads(plan: DiffusionPlan, config: Mapping[str, Any]) -> DiffusionPlan:
    """A UNet's plan with the number of heads that the record names: shapes of tensors do not show it."""
    if "model_channels" not in config:
        return plan
    names = {field.name for field in fields(UNetConfig)}
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in config.items() if name in names
    }
    network = replace(plan.network, build=partial(UNet, UNetConfig(**given)))
    return replace(plan, network=network)


def stand_in(sampling: ModelSampling) -> DiffusionModel:
    """A model without a network, for what only asks for its noise levels."""
    weights = Weights(nn.Identity, TensorSource(dict, {}), "stand-in")
    return DiffusionModel(weights, sampling, LatentFormat(), lambda _condition, _run: {})
