"""What packs find behind ``model.model``: a diffusion model with its sampling and its network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

import torch
from torch import Tensor, nn

from ..missing_names import missing_attribute
from .attention_patches import hooks_of
from .library import Call, DiffusionModel, Part, default_memory
from .sampling_face import sampling_class

CONTEXT, C_CONTEXT = "context", "c_crossattn"
CONCAT, C_CONCAT = "concat", "c_concat"


class ModelConfig:
    """What is known of a model's shape."""

    def __init__(self, model: BaseModel) -> None:
        self._model = model
        self.latent_format = model.latent_format
        self.sampling_settings: dict[str, Any] = {}
        self.manual_cast_dtype: torch.dtype | None = None

    @property
    def unet_config(self) -> dict[str, Any]:
        """The network's configuration, as far as it is one of plain values."""
        config = getattr(self._model.diffusion_model, "config", None)
        return {name: getattr(config, name) for name in getattr(config, "__dataclass_fields__", ())}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise missing_attribute("comfy.supported_models_base.BASE", name)


class BaseModel:
    """A diffusion model as packs see it inside of their handle."""

    families: ClassVar[tuple[str, ...]] = ("sd1", "sd2")

    def __init__(self, handle: DiffusionModel) -> None:
        from ..shims.comfy.latent_formats import class_of

        self.handle = handle
        self.latent_format = class_of(handle.latent_format)()
        self.model_sampling = sampling_class(handle.sampling)
        self.model_config = ModelConfig(self)
        self.manual_cast_dtype: torch.dtype | None = None
        self.memory_usage_factor = 1.0
        self.concat_keys: tuple[str, ...] = ()
        self.current_patcher: Any = None

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return default_memory().device

    @property
    def diffusion_model(self) -> Any:
        """The network, on its device."""
        return default_memory().module(self.handle.weights, Part.DIFFUSION)

    @property
    def adm_channels(self) -> int:
        """Width of the vector beside the context; 0 without one."""
        config = getattr(self.diffusion_model, "config", None)
        return int(getattr(config, "adm_in_channels", None) or 0)

    @property
    def model_type(self) -> Any:
        """What the network predicts."""
        from ..shims.comfy.model_base import ModelType

        names = {"Velocity": "V_PREDICTION", "Flow": "FLOW", "Preconditioned": "EDM", "Clean": "X0"}
        return ModelType[names.get(type(self.handle.sampling.parametrisation).__name__, "EPS")]

    def get_dtype(self) -> torch.dtype:
        """The precision of the network."""
        return default_memory().dtype(Part.DIFFUSION)

    def get_dtype_inference(self) -> torch.dtype:
        """The precision of the network."""
        return self.get_dtype()

    def is_adm(self) -> bool:
        """Whether the network takes a vector beside the context."""
        return self.adm_channels > 0

    def process_latent_in(self, latent: Tensor) -> Tensor:
        """From the autoencoder's scale to the model's."""
        return self.handle.latent_format.to_model(latent)

    def process_latent_out(self, latent: Tensor) -> Tensor:
        """From the model's scale to the autoencoder's."""
        return self.handle.latent_format.from_model(latent)

    def memory_required(self, input_shape: Any, cond_shapes: Any = None) -> float:
        """Bytes that a call of this shape may need, roughly."""
        return float(torch.Size(input_shape).numel() * self.get_dtype().itemsize * 2**10)

    def apply_model(
        self, x: Tensor, t: Tensor, c_concat: Tensor | None = None, c_crossattn: Tensor | None = None,
        control: Any = None, transformer_options: Mapping[str, Any] | None = None, **kwargs: Any,
    ) -> Tensor:  # fmt: skip
        """Prediction of the clean latent; x: [batch, channel, height, width], t: noise levels [batch]."""
        options = transformer_options or {}
        given = {**kwargs, CONTEXT: c_crossattn, CONCAT: c_concat, "control": control}
        inputs = {name: value for name, value in given.items() if value is not None}
        sides = tuple(options.get("cond_or_uncond", ()))
        call = Call(sides, t, tuple(x.shape))
        return self.handle.ready().denoise(x, t, inputs, hooks=hooks_of(options), call=call)

    def modules(self) -> Iterator[nn.Module]:
        """The parts of the network."""
        modules: Iterator[nn.Module] = self.diffusion_model.modules()
        return modules

    def named_modules(self) -> Iterator[tuple[str, nn.Module]]:
        """The parts of the network with their names."""
        return ((f"diffusion_model.{name}", module) for name, module in self.diffusion_model.named_modules())

    def parameters(self) -> Iterator[nn.Parameter]:
        """The network's weights."""
        parameters: Iterator[nn.Parameter] = self.diffusion_model.parameters()
        return parameters

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The network's weights with their names."""
        return ((f"diffusion_model.{name}", weight) for name, weight in self.diffusion_model.named_parameters())

    def to(self, *args: Any, **kwargs: Any) -> BaseModel:
        """The model where it is: what is loaded where is decided elsewhere."""
        return self

    def eval(self) -> BaseModel:
        """The model: it is never trained."""
        return self

    def state_dict_for_saving(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """The network's weights by name."""
        return {f"model.diffusion_model.{name}": tensor for name, tensor in self.diffusion_model.state_dict().items()}

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """The network's weights by name."""
        return {f"diffusion_model.{name}": tensor for name, tensor in self.diffusion_model.state_dict().items()}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise missing_attribute("comfy.model_base.BaseModel", name)


class SDXL(BaseModel):
    """SDXL base."""

    families = ("sdxl",)


class SDXLRefiner(BaseModel):
    """The refiner of SDXL."""

    families = ("sdxl_refiner",)


class SD3(BaseModel):
    """SD3 and SD3.5."""

    families = ("sd3",)


class Flux(BaseModel):
    """Flux.1."""

    families = ("flux",)


FACES: Final = {name: face for face in (BaseModel, SDXL, SDXLRefiner, SD3, Flux) for name in face.families}


def face_of(handle: DiffusionModel) -> BaseModel:
    """A diffusion model as packs see it; one of an unknown family is a plain one."""
    return FACES.get(handle.family, BaseModel)(handle)
