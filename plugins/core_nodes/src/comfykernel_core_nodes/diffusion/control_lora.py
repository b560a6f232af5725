"""Control-LoRA: a control network as changes of low rank to the UNet that it acts on (Stability AI 2023)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.controlnet_unet import ControlUNet, ControlUNetConfig
from comfykernel_core_nodes.diffusion.errors import CheckpointError, LatentShapeError
from comfykernel_core_nodes.diffusion.model_header import Header
from comfykernel_core_nodes.diffusion.unet import UNet
from comfykernel_core_nodes.diffusion.weight_files import WeightFile
from comfykernel_core_nodes.diffusion.weight_patches import LowRank
from comfykernel_core_nodes.diffusion.weights import TensorSource, WeightPatch, Weights
from comfykernel_sdk.families import Shape

if TYPE_CHECKING:
    from comfykernel_core_nodes.diffusion.diffusion_model import RunnableModel

# An empty tensor that marks such a file.
CONTROL_LORA_MARK: Final = "lora_controlnet"
HINT_MARK: Final = "input_hint_block.0.weight"
UP, DOWN = ".up", ".down"
# A weight whose columns are the width of texts.
TEXT_WEIGHT: Final = "attn2.to_k.weight"
HINT: Final = "Choose a Control-LoRA for the model's family."


@dataclass(frozen=True, slots=True, eq=False)
class FileLowRank:
    """W + up down, both read from a file whenever the weight is made."""

    file: WeightFile
    up: str
    down: str

    def apply(self, weight: Tensor) -> Tensor:
        factors = self.file.read({"up": self.up, "down": self.down})
        return LowRank(factors["up"], factors["down"], 1.0).apply(weight)


@dataclass(frozen=True, eq=False)
class ControlLora:
    """The tensors of a Control-LoRA, of which a model makes a whole control network.

    `whole` and `pairs` go from the names of a control network's tensors to what the file has for them: the tensor
    itself, or (up, down), whose product is added to the model's weight. All other tensors are the model's.
    """

    header: Header
    whole: Mapping[str, str]
    pairs: Mapping[str, tuple[str, str]]
    # One network a model, made of the model's weights with their patches, for as long as somebody has that model.
    _made: WeakKeyDictionary[Weights[nn.Module], Weights[nn.Module]] = field(default_factory=WeakKeyDictionary)

    @property
    def label(self) -> object:
        """Where the tensors come from, for messages."""
        return self.header.file.path

    @property
    def hint_channels(self) -> int:
        """Channels of the pictures that it follows."""
        return self.header.shapes[HINT_MARK][1]

    def over(self, model: RunnableModel) -> Weights[nn.Module]:
        """The whole network for a model. Raises `LatentShapeError` when it is for models of another shape."""
        if not isinstance(model.network, UNet) or model.weights is None:
            raise LatentShapeError("A Control-LoRA changes a UNet, which this model does not have.", HINT)
        if model.weights not in self._made:
            self._made[model.weights] = self._whole_network(model.network, model.weights)
        return self._made[model.weights]

    def _whole_network(self, network: UNet, base: Weights[nn.Module]) -> Weights[nn.Module]:
        config = ControlUNetConfig(network.config, self.hint_channels)
        build = partial(ControlUNet, config)
        with torch.device("meta"):
            expected = {name: tuple(tensor.shape) for name, tensor in build().state_dict().items()}
        self._check(expected, base)
        patches: dict[str, tuple[WeightPatch, ...]] = {
            name: base.patches[name] for name in expected if name not in self.whole and base.patches.get(name)
        }
        for name, (up, down) in self.pairs.items():
            patches[name] = (*patches.get(name, ()), FileLowRank(self.header.file, up, down))
        source = _mixed_source(self.header.file, self.whole, base.source, expected)
        return replace(base, build=build, source=source, label=self.label, patches=patches, packable=True)

    def _check(self, expected: Mapping[str, Shape], base: Weights[nn.Module]) -> None:
        """Raise `LatentShapeError` when the file is for a model of another shape."""
        shapes = self.header.file.shapes
        texts = {shapes[down][1] for name, (_, down) in self.pairs.items() if name.endswith(TEXT_WEIGHT)}
        wanted = next(shape[1] for name, shape in expected.items() if name.endswith(TEXT_WEIGHT))
        if texts and wanted not in texts:
            raise LatentShapeError(f"It is for texts of width {min(texts)}, the model's have {wanted}.", HINT)
        for name, (up, down) in self.pairs.items():
            size = (shapes[up][0], math.prod(shapes[down][1:]))
            there = expected.get(name) if name in base.source.shapes else None
            if there is None or (there[0], math.prod(there[1:])) != size:
                found = "has none" if there is None else f"has {list(there)}"
                raise LatentShapeError(f"It changes {name!r} of {size[0]} x {size[1]}; this model {found}.", HINT)
        for name, shape in expected.items():
            if name in self.whole and shapes[self.whole[name]] != shape:
                found = f"{list(shapes[self.whole[name]])}; for this model it would be {list(shape)}"
                raise LatentShapeError(f"Its {name!r} is {found}.", HINT)
            if name not in self.whole and name not in base.source.shapes:
                raise LatentShapeError(f"It lacks {name!r}, which this model does not have either.", HINT)


def control_lora_from(header: Header) -> ControlLora:
    """What a file that has the mark holds. Raises `CheckpointError`."""
    pairs: dict[str, tuple[str, str]] = {}
    whole: dict[str, str] = {}
    for name, full in header.names.items():
        _check_type(header, name)
        module = name.removesuffix(UP).removesuffix(DOWN)
        if module != name:
            pairs[f"{module}.weight"] = _pair(header, module)
        elif name != CONTROL_LORA_MARK:
            whole[name] = full
    for name in (HINT_MARK, "zero_convs.0.0.weight"):
        if name not in whole:
            message = f"lacks the tensor {name!r} of a Control-LoRA."
            raise CheckpointError(header.file.path, message, type="unknown_model_family")
    return ControlLora(header, whole, pairs)


def _pair(header: Header, module: str) -> tuple[str, str]:
    """The names in the file of what changes a module, (up, down)."""
    up, down = (header.shapes.get(module + ending, ()) for ending in (UP, DOWN))
    if len(up) < 2 or len(down) < 2 or up[1] != down[0]:
        message = (
            f"has {module + UP!r} of shape {list(up)} and {module + DOWN!r} of shape {list(down)}, which do not go"
        )
        raise CheckpointError(header.file.path, f"{message} together.", "Download or copy the file again.")
    return header.names[module + UP], header.names[module + DOWN]


def _check_type(header: Header, name: str) -> None:
    dtype = header.file.dtype(header.names[name])
    if not dtype.is_floating_point and name != CONTROL_LORA_MARK:
        message = (
            f"has tensor {name!r} of type {str(dtype).removeprefix('torch.')}; expected are floating-point numbers."
        )
        raise CheckpointError(header.file.path, message, "The file is quantised in an unknown way.")


def _mixed_source(
    file: WeightFile, whole: Mapping[str, str], base: TensorSource, expected: Mapping[str, Shape]
) -> TensorSource:
    """Tensors of a file where it has them, else those of a model."""
    own = {name: whole[name] for name in expected if name in whole}

    def some(names: Collection[str]) -> dict[str, Tensor]:
        read = file.read({name: own[name] for name in names if name in own})
        return {**read, **base.some([name for name in names if name not in own])}

    def scales() -> dict[str, Tensor]:
        return {name: scale for name, scale in base.scales.items() if name in expected and name not in own}

    def dtype(name: str) -> torch.dtype:
        return file.dtype(own[name]) if name in own else base.dtype(name)

    return TensorSource(lambda: some(list(expected)), expected, scales, some, dtype)
