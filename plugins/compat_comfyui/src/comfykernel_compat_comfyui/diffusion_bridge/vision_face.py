"""Image encoders and style models as packs know them."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from ..missing_names import missing_attribute, not_provided
from .library import (
    CLIP_DEVIATION,
    CLIP_MEAN,
    SIGLIP_DEVIATION,
    SIGLIP_MEAN,
    Part,
    StyleModel,
    VisionEncoder,
    VisionEncoding,
    default_memory,
)

LAST_BUT_ONE = -2
"""The one layer besides the last that a network gives out."""


class Output:
    """What an image encoder gives: entries are attributes, too."""

    def __getitem__(self, key: str) -> Any:
        return getattr(self, key)

    def __setitem__(self, key: str, item: Any) -> None:
        setattr(self, key, item)


class ClipVisionModel:
    """Shows images [batch, height, width, 3] in 0..1 to an image encoder."""

    def __init__(self, json_config: Any = None, *, handle: VisionEncoder | None = None) -> None:
        if handle is None:
            raise not_provided("comfy.clip_vision.ClipVisionModel(config)")
        self.handle = handle
        memory = default_memory()
        siglip = handle.config.siglip
        self.image_size = handle.config.image
        self.image_mean = list(SIGLIP_MEAN if siglip else CLIP_MEAN)
        self.image_std = list(SIGLIP_DEVIATION if siglip else CLIP_DEVIATION)
        self.load_device, self.offload_device = memory.device, torch.device("cpu")
        self.dtype = memory.dtype(Part.VISION)

    @property
    def patcher(self) -> Any:
        """What packs hand to ``load_model_gpu``."""
        return self

    @property
    def network(self) -> torch.nn.Module:
        """The network, on its device."""
        return default_memory().module(self.handle.weights, Part.VISION)

    def load_to_device(self) -> None:
        """Have the network loaded."""
        _ = self.network

    def model(self, pixel_values: Tensor, intermediate_output: Any = None, **_: Any) -> tuple[Any, ...]:
        """Last layer, the layer asked for, embeddings and (never) a projection, of prepared pixels."""
        if intermediate_output not in (None, LAST_BUT_ONE):
            raise not_provided(f"comfy.clip_vision layer {intermediate_output} of an image encoder")
        network = self.network
        weight = next(network.parameters())
        with torch.no_grad():
            given: VisionEncoding = network(pixel_values.to(weight.device, weight.dtype))
        earlier = None if intermediate_output is None else given.penultimate_hidden_states
        return given.last_hidden_state, earlier, given.image_embeds, None

    def encode_image(self, image: Tensor, crop: bool = True) -> Output:
        """What the encoder gives of images: their middle, or squeezed as a whole."""
        return output_of(self.handle.encode(image, crop=crop))

    def get_sd(self) -> dict[str, Tensor]:
        """The network's weights."""
        return dict(self.network.state_dict())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise missing_attribute("comfy.clip_vision.ClipVisionModel", name)


class StyleModelFace:
    """Makes tokens for a condition of what an image encoder gave."""

    def __init__(self, handle: StyleModel) -> None:
        self.handle = handle

    def get_cond(self, input: Output) -> Tensor:
        """Tokens [1, tokens, channels]."""
        return self.handle.tokens(encoding_of(input))


def output_of(encoding: object) -> Output:
    """What an image encoder gave, as packs know it."""
    assert isinstance(encoding, VisionEncoding)
    output = Output()
    for name, value in encoding._asdict().items():
        output[name] = value
    output["all_hidden_states"] = output["mm_projected"] = None
    return output


def encoding_of(output: object) -> VisionEncoding:
    """The same as the library knows it; packs may have made it themselves."""
    assert isinstance(output, Output)
    last, earlier, embeds = (getattr(output, name, None) for name in VisionEncoding._fields[:3])
    return VisionEncoding(
        cast("Tensor", last), cast("Tensor", earlier), cast("Tensor", embeds),
        getattr(output, "earlier_hidden_states", ()),
    )  # fmt: skip


def vision_of(handle: object) -> ClipVisionModel:
    """An image encoder as packs know it."""
    assert isinstance(handle, VisionEncoder)
    return ClipVisionModel(handle=handle)


def style_of(handle: object) -> StyleModelFace:
    """A style model as packs know it."""
    assert isinstance(handle, StyleModel)
    return StyleModelFace(handle)
