"""The wire types of nodes as Python types, and widgets for annotations.

A type checker sees the Python type (``Image`` is a torch tensor); the marker in the annotation says what clients
see. Shapes: ``Image`` float32 [batch, height, width, channel] in 0..1; ``Mask`` float32 [batch, height, width] in
0..1; ``Latent`` a mapping with ``samples`` [batch, channel, height, width]; ``Sigmas`` float32 [steps + 1], falling.
Socket types whose value belongs to a library (``Model``, ``Clip``, ``Vae``, ...) are ``object`` here; a pack that
knows better annotates ``Annotated[ItsClass, Socket("MODEL")]``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias, TypedDict

from .json_types import Json, JsonObject

if TYPE_CHECKING:
    from torch import Tensor

    from .context import NodeContext
else:
    Tensor = Any
    NodeContext = object


@dataclass(frozen=True, slots=True, eq=False)
class Socket:
    """Marks an annotation as a wire type. ``type`` may be several, separated by commas, or ``"*"`` for any.

    ``options`` are shown to clients as they are; ``bare`` leaves the options out of object_info altogether. Types are
    compared as texts; with ``wildcard`` the type ``*`` fits every other. On a ``TypeVar`` it names the types that the
    variable may stand for.
    """

    type: str
    name: str | None = None
    tooltip: str | None = None
    lazy: bool = False
    raw_link: bool = False
    force_input: bool = False
    options: JsonObject = field(default_factory=dict)
    bare: bool = True
    wildcard: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Growing:
    """Inputs that clients add as they fill them: on ``dict[str, Image]`` (by name) or ``list[Image]`` (in order).

    They are called ``prefix0``, ``prefix1`` and so on, at most ``max`` (1 to 100), or have these ``names``. The first
    ``min`` must be there, unless the item's type takes ``None``; gaps between the others are fine.
    """

    prefix: str = ""
    names: tuple[str, ...] = ()
    min: int = 1
    max: int = 10
    tooltip: str | None = None


class Widget:
    """Base of inputs that clients draw as a field. A subclass fixes the wire type."""

    __slots__ = ()

    wire_type: ClassVar[str]
    """The type name in object_info."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Field(Widget):
    """What fields for a value share: ``force_input`` draws a socket instead, ``options`` are shown as they are."""

    tooltip: str | None = None
    force_input: bool = False
    lazy: bool = False
    options: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Int(Field):
    """A whole number between ``min`` and ``max``, both included."""

    wire_type = "INT"

    default: int | None = None
    min: int | None = None
    max: int | None = None
    step: int | None = None
    display: Literal["number", "slider", "color"] | None = None
    control_after_generate: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Float(Field):
    """A number between ``min`` and ``max``, both included; ``round`` is the precision that clients keep."""

    wire_type = "FLOAT"

    default: float | None = None
    min: float | None = None
    max: float | None = None
    step: float | None = None
    round: float | None = None
    display: Literal["number", "slider"] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Text(Field):
    """A text; ``multiline`` and ``dynamic_prompts`` are shown to clients when they are not ``None``."""

    wire_type = "STRING"

    default: str | None = None
    multiline: bool | None = None
    dynamic_prompts: bool | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Toggle(Field):
    """A yes or no."""

    wire_type = "BOOLEAN"

    default: bool | None = None
    label_on: str | None = None
    label_off: str | None = None


class Choice(Widget):
    """One of several values: listed here, by the annotated ``Literal``, or by a ``source`` that the storage resolves.

    Sources are model folders (``"checkpoints"``, ``"loras"`` ...) and ``"input"`` (files of the input folder,
    narrowed by ``kinds`` such as ``("image",)`` or endings such as ``(".txt",)``; ``("folder",)`` lists the folders
    in it). ``extra`` values are appended to those of a source. ``as_list`` writes the choices where the type stands,
    the form that servers check; otherwise the type is ``COMBO`` with ``options`` and any value is let through.
    """

    wire_type = "COMBO"
    __slots__ = ("as_list", "bare", "default", "extra", "kinds", "lazy", "options", "source", "tooltip", "values")

    def __init__(
        self,
        *values: str | int | float | bool,
        default: str | int | float | bool | None = None,
        source: str | None = None,
        kinds: tuple[str, ...] = (),
        extra: tuple[str, ...] = (),
        tooltip: str | None = None,
        as_list: bool = True,
        bare: bool = False,
        lazy: bool = False,
        options: JsonObject | None = None,
    ) -> None:
        self.values = values
        self.default = default
        self.source = source
        self.kinds = kinds
        self.extra = extra
        self.tooltip = tooltip
        self.as_list = as_list
        self.bare = bare
        self.lazy = lazy
        self.options = options or {}


@dataclass(frozen=True, slots=True, eq=False)
class File(Widget):
    """A file of the input folder that clients may also upload; ``upload`` is the kind of upload button."""

    wire_type = "COMBO"

    kinds: tuple[str, ...] = ("image",)
    upload: Literal["image_upload", "audio_upload", "video_upload"] = "image_upload"
    default: str | None = None
    tooltip: str | None = None
    options: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Hidden:
    """An input that the engine fills: ``PROMPT``, ``EXTRA_PNGINFO``, ``UNIQUE_ID``, ``DYNPROMPT`` or a token name."""

    kind: Literal["PROMPT", "EXTRA_PNGINFO", "UNIQUE_ID", "DYNPROMPT", "AUTH_TOKEN_COMFY_ORG", "API_KEY_COMFY_ORG"]


@dataclass(frozen=True, slots=True, eq=False)
class Out:
    """Names and describes one output; ``is_list`` says that the value is a list whose items go on one by one."""

    name: str | None = None
    tooltip: str | None = None
    is_list: bool = False
    type: str | None = None


class LatentDict(TypedDict, total=False):
    """A batch of latents.

    ``samples``: [batch, channel, height, width]; ``noise_mask``: [batch, 1, height, width] or [batch, height,
    width], 1 where noise may be put; ``batch_index``: the index of each sample in the batch that it was cut from.
    """

    samples: Tensor
    noise_mask: Tensor
    batch_index: list[int]


Image: TypeAlias = Annotated[Tensor, Socket("IMAGE")]
Mask: TypeAlias = Annotated[Tensor, Socket("MASK")]
Latent: TypeAlias = Annotated[LatentDict, Socket("LATENT")]
Sigmas: TypeAlias = Annotated[Tensor, Socket("SIGMAS")]
Model: TypeAlias = Annotated[Any, Socket("MODEL")]
Clip: TypeAlias = Annotated[Any, Socket("CLIP")]
Vae: TypeAlias = Annotated[Any, Socket("VAE")]
Conditioning: TypeAlias = Annotated[Any, Socket("CONDITIONING")]
ControlNet: TypeAlias = Annotated[Any, Socket("CONTROL_NET")]
ClipVision: TypeAlias = Annotated[Any, Socket("CLIP_VISION")]
Noise: TypeAlias = Annotated[Any, Socket("NOISE")]
Guider: TypeAlias = Annotated[Any, Socket("GUIDER")]
Sampler: TypeAlias = Annotated[Any, Socket("SAMPLER")]
AnyValue: TypeAlias = Annotated[object, Socket("*", wildcard=True)]

UniqueId: TypeAlias = Annotated[str, Hidden("UNIQUE_ID")]
PromptGraph: TypeAlias = Annotated[dict[str, Json] | None, Hidden("PROMPT")]
ExtraPngInfo: TypeAlias = Annotated[dict[str, Json] | None, Hidden("EXTRA_PNGINFO")]
