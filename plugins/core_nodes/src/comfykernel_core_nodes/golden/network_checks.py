"""Checks of diffusion networks and autoencoders: raw outputs, predictions, latent formats."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import numpy as np
import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.condition_inputs import size_vector, with_pooled
from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.image_codec import to_images
from comfykernel_core_nodes.diffusion.latent_preview import latent_colours
from comfykernel_core_nodes.diffusion.memory import Part, default_memory
from comfykernel_core_nodes.diffusion.published_latents import PUBLISHED_FORMATS
from comfykernel_core_nodes.diffusion.t2i_adapter import T2IAdapter
from comfykernel_core_nodes.diffusion.weights import Weights
from comfykernel_core_nodes.golden import recipe
from comfykernel_core_nodes.golden.node_graphs import run_single
from comfykernel_core_nodes.golden.records import Absent, Case, Tolerance, differences, unequal
from comfykernel_core_nodes.golden.tiny_models import TinyModels
from comfykernel_sdk.families import LatentFormat, Run

TOLERANCE: Final = Tolerance(1e-4, 1e-4)
EXACT: Final = Tolerance(0.0, 0.5)


def recorded(spec: Sequence[Any]) -> Tensor:
    """The tensor that `[key, shape, "times FACTOR"]` stands for."""
    key, shape, *rest = spec
    factor = float(str(rest[0]).split()[1]) if rest else 1.0
    return recipe.data(key, shape) * factor


class UNetChecks:
    """The group `unet`."""

    def __init__(self, models: TinyModels) -> None:
        self._models = models

    def check(self, case: Case) -> list[str]:
        """What is wrong with a case."""
        first, second, *_ = case.name.split("/")
        if first == "latent_format":
            return self._check_format(second, case)
        if first == "adm":
            condition = Conditioning(torch.zeros(1, 1, 1), recorded(case.inputs["pooled"]), extra=case.inputs["inputs"])
            vector = with_pooled(
                condition, size_vector(condition, Run(torch.zeros(1, 4, 1, 1))), case.shapes["y"]["shape"][-1]
            )
            return differences({"y": vector}, case.tensors, TOLERANCE)
        got = self._raw(case) if second == "raw" else self._denoised(first, case)
        return differences({"out": got}, case.tensors, TOLERANCE)

    def _raw(self, case: Case) -> Tensor:
        i = case.inputs
        network = default_memory().module(self._models.diffusion(i["model"]).weights, Part.DIFFUSION)
        y = {} if i["y"] is None else {"y": recorded(i["y"])}
        with torch.inference_mode():
            out: Tensor = network(recorded(i["x"]), torch.tensor(i["timesteps"]), recorded(i["context"]), **y)
        return out

    def _denoised(self, name: str, case: Case) -> Tensor:
        i = case.inputs
        inputs: dict[str, object] = {"context": recorded(i["context"])}
        if i.get("y") is not None:
            inputs["y"] = recorded(i["y"])
        if i.get("c_concat") is not None:
            inputs["concat"] = recorded(i["c_concat"])
        model = self._models.diffusion(name, i["prediction"]).ready()
        with torch.inference_mode():
            return model.denoise(recorded(i["x"]), torch.tensor(i["sigma"]), inputs)

    def _check_format(self, name: str, case: Case) -> list[str]:
        if name not in PUBLISHED_FORMATS:
            raise Absent(f"no latent format {name}")
        latent_format, x = PUBLISHED_FORMATS[name], recorded(case.inputs["x"])
        got: dict[str, Tensor | None] = {"in": latent_format.to_model(x), "out": latent_format.from_model(x)}
        told = {
            "scale_factor": latent_format.scale,
            "channels": latent_format.channels,
            "dims": latent_format.dimensions,
            "taesd": latent_format.preview_codec,
        }
        problems = differences(got, case.tensors, TOLERANCE)
        for key, value in told.items():
            if key in case.expect:
                problems += unequal(key, value, case.expect[key])
        return problems


class CodecChecks:
    """The group `vae`."""

    def __init__(self, models: TinyModels) -> None:
        self._models = models

    def check(self, case: Case) -> list[str]:
        """What is wrong with a case."""
        first, second, *_ = case.name.split("/")
        if first == "latent2rgb":
            colours = latent_colours(recorded(case.inputs["x"])[0], PUBLISHED_FORMATS[second])
            wanted = {"rgb": case.tensors["rgb"].float()}
            return differences({"rgb": torch.from_numpy(np.array(colours)).float()}, wanted, EXACT)
        if first.startswith("taesd"):
            return self._check_tiny(second, case)
        if second in ("VAEEncodeForInpaint", "InpaintModelConditioning"):
            return self._check_node(second, case)
        return differences(self._codec(second, case), case.tensors, TOLERANCE)

    def _codec(self, way: str, case: Case) -> dict[str, Tensor | None]:
        codec, i = self._models.codec(case.inputs["model"]), case.inputs
        if way == "encode":
            return {"latent": codec.encode(recipe.image(*i["image"]))}
        if way == "decode":
            raw = codec.decode_raw(recorded(i["latent"]))
            return {"raw": raw, "image": to_images(raw)}
        if way not in ("encode_tiled", "decode_tiled"):
            raise Absent(f"no check of {way}")
        tile = (i["tile_y"], i["tile_x"])
        if way == "encode_tiled":
            return {"latent": codec.encode_tiled(recipe.image(*i["image"]), tile=tile, overlap=i["overlap"])}
        return {"image": codec.decode_tiled(recorded(i["latent"]), tile=tile, overlap=i["overlap"])}

    def _check_tiny(self, way: str, case: Case) -> list[str]:
        codec = self._models.codec(case.inputs["model"])
        # The records were made without the scale of any model's latents.
        latent_format = cast("LatentFormat", default_memory().module(codec.weights, Part.CODEC).latent_format)
        if way == "encode":
            out = latent_format.to_model(codec.encode(recipe.image(*case.inputs["image"])))
        else:
            out = codec.decode_raw(latent_format.from_model(recorded(case.inputs["latent"])))
        return differences({"out": out}, case.tensors, TOLERANCE)

    def _check_node(self, node: str, case: Case) -> list[str]:
        i = case.inputs
        given: dict[str, Any] = {
            "vae": self._models.codec(i["model"]),
            "pixels": recipe.image(*i["image"]),
            "mask": described_mask(i["mask"]),
        }
        given |= {name: value for name, value in i.items() if name not in ("model", "image", "mask")}
        outputs = run_single(node, given)
        return differences(_latent_tensors(outputs[-1][0]), case.tensors, TOLERANCE)


def _latent_tensors(latent: Mapping[str, Any]) -> dict[str, Tensor | None]:
    return {"latent": latent["samples"], "noise_mask": latent.get("noise_mask")}


def described_mask(text: str) -> Tensor:
    """The mask that `uniform("key",(shape))>threshold` stands for."""
    match = re.fullmatch(r'uniform\("([^"]+)",\(([\d,]+)\)\)>([\d.]+)', text)
    if match is None:
        raise Absent(f"no mask like {text}")
    return recipe.mask(match[1], [int(side) for side in match[2].split(",") if side], float(match[3]))


class TransformerChecks:
    """The group `dit`."""

    def __init__(self, models: TinyModels) -> None:
        self._models = models

    def check(self, case: Case) -> list[str]:
        """What is wrong with a case."""
        model, kind, *_ = case.name.split("/")
        if kind in ("raw", "denoised"):
            out = self._raw(case) if kind == "raw" else self._denoised(model, case)
            return differences({"out": out}, case.tensors, TOLERANCE)
        if kind in ("ksampler", "patch"):
            return self._check_run(kind, case)
        if model == "t2i_adapter":
            return self._check_adapter(case)
        raise Absent(f"no check of {kind}")

    def _check_adapter(self, case: Case) -> list[str]:
        control = self._models.control(case.inputs["model"])
        assert isinstance(control.weights, Weights)
        network = default_memory().module(control.weights, Part.CONTROL)
        assert isinstance(network, T2IAdapter)
        # The records show grey adapters the first colour, without what a run does to a hint.
        pixels = recipe.image(*case.inputs["hint"]).movedim(-1, 1)[:, : network.config.hint_channels]
        with torch.inference_mode():
            residuals = network.residuals(network(pixels))
        got = {f"{name}.{n}": each for name, values in residuals.items() for n, each in enumerate(values)}
        absent = {name: [n for n, each in enumerate(values) if each is None] for name, values in residuals.items()}
        return unequal("empty", absent, case.inputs["none_positions"]) + differences(got, case.tensors, TOLERANCE)

    def _inputs(self, case: Case) -> Mapping[str, Any]:
        i = case.inputs
        guidance = {} if i["guidance"] is None else {"guidance": i["guidance"]}
        condition = Conditioning(recorded(i["context"]), recorded(i["y"]), extra=guidance)
        model = self._models.diffusion(i["model"])
        read = model.read_condition(condition, Run(recorded(i["x"])))
        return {name: value.value for name, value in read.items()}

    def _raw(self, case: Case) -> Tensor:
        i = case.inputs
        network = default_memory().module(self._models.diffusion(i["model"]).weights, Part.DIFFUSION)
        x = recorded(i["x"])
        with torch.inference_mode():
            out: Tensor = network(x, torch.full((len(x),), i["timestep"]), **_repeated(self._inputs(case), len(x)))
        return out

    def _denoised(self, name: str, case: Case) -> Tensor:
        x = recorded(case.inputs["x"])
        model = self._models.diffusion(name).ready()
        with torch.inference_mode():
            sigma = torch.full((len(x),), case.inputs["sigma"])
            return model.denoise(x, sigma, _repeated(self._inputs(case), len(x)))

    def _check_run(self, kind: str, case: Case) -> list[str]:
        i = {"batch": 1, "denoise": 1.0, "guidance": None, **case.inputs}
        model: object = self._models.diffusion(i["model"])
        if kind == "patch":
            model = run_single(i["node"], {"model": model, **i["inputs"]})[0][0]
        extra = {} if i["guidance"] is None else {"guidance": i["guidance"]}
        sides = {}
        for side, short in (("positive", "pos"), ("negative", "neg")):
            tokens = recorded(i.get(side) or [f"dit/{short}", [1, 40, 96]])
            pooled = recorded(i.get(f"{side}_pooled") or [f"dit/p{short}", [1, 64]])
            sides[side] = [Conditioning(tokens, pooled, extra=extra)]
        shape = i.get("latent_shape", [1, 4, 16, 16] if kind == "ksampler" else [1, 16, 16, 16])
        empty = "latent" not in i or isinstance(i["latent"], str)
        latent = torch.zeros(shape) if empty else recorded(i["latent"])
        ((out,),) = run_single(
            "KSampler",
            {"model": model, **sides, "latent_image": {"samples": latent}, "sampler_name": i["sampler"]}
            | {name: i[name] for name in ("seed", "steps", "cfg", "scheduler", "denoise")},
        )
        return differences({"out": out["samples"]}, case.tensors, Tolerance(1e-3, 0.01, of_largest=True))


def _repeated(inputs: Mapping[str, Any], rows: int) -> dict[str, Any]:
    return {
        name: value.expand(rows, *value.shape[1:]) if isinstance(value, Tensor) and len(value) == 1 else value
        for name, value in inputs.items()
    }
