"""Model families: how a distribution adds an architecture to those that can be loaded.

A family looks at the header of a model file and answers with plans: how to build a network, which tensors fill it, how
its numbers are meant. It is given to whoever loads models by a hook, in an entry point group of its own::

    [project.entry-points."comfykernel.model_families"]
    mine = "my_distribution.plugin"

    @hookimpl
    def register_model_families(register):
        from .architecture import MyFamily

        register(MyFamily())

Families are asked in the order of their entry points' names; those that say ``hookimpl(trylast=True)`` come last, as
the built-in ones do. Nothing here needs torch at run time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import pluggy

from . import hooks

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .hooks import RegisterModelFamily

Shape: TypeAlias = tuple[int, ...]
_log = logging.getLogger(__name__)


class ModelHeader(Protocol):
    """What a model file says before its tensors are read, seen below a prefix of their names."""

    @property
    def names(self) -> Mapping[str, str]:
        """Name below the prefix -> name in the file."""

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Name below the prefix -> shape."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """Free text of the file's author."""

    @property
    def whole(self) -> ModelHeader:
        """The header of the whole file, without a prefix: marks of a checkpoint stand there."""

    def below(self, prefix: str) -> ModelHeader:
        """The header as seen below one more prefix; empty when no name begins with it."""

    def tensor(self, name: str) -> Tensor:
        """Read one tensor, for the few whose values decide."""


@dataclass(frozen=True, slots=True)
class Made:
    """A tensor of a network that is made from tensors of the file, such as a part of a stacked projection."""

    names: tuple[str, ...]
    """in the file"""
    make: Callable[[Sequence[Tensor]], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class NetworkPlan:
    """How to build a network and fill it. ``build`` is called with torch's default device set to ``meta``.

    ``tensors`` maps each tensor of the network to its name in the file of ``header``, or to how it is made.
    """

    header: ModelHeader
    build: Callable[[], nn.Module]
    tensors: Mapping[str, str | Made]


@dataclass(frozen=True, slots=True)
class SamplingSpec:
    """What a network predicts, on which noise levels. Options, where they differ from the usual, are

    ``epsilon``, ``velocity``, ``clean``, ``consistency``: ``zero_terminal_snr`` (0 or 1).
    ``edm``, ``edm_epsilon``, ``edm_velocity``: ``sigma_min``, ``sigma_max``, ``sigma_data``.
    ``flow``: ``shift``, ``multiplier``. ``flux_flow``: ``shift`` (the exponent mu).
    """

    prediction: Literal[
        "epsilon", "velocity", "clean", "consistency", "edm", "edm_epsilon", "edm_velocity", "flow", "flux_flow"
    ]
    options: Mapping[str, float] = field(default_factory=dict)


class Sampling(Protocol):
    """Noise levels, parametrisation and noise path, for what no `SamplingSpec` says; forms as in the library."""

    @property
    def levels(self) -> object: ...
    @property
    def parametrisation(self) -> object: ...
    @property
    def path(self) -> object: ...


@dataclass(frozen=True)
class LatentFormat:
    """Scale and approximate colours of a family's latents [batch, channel, ...].

    ``rgb_factors`` has one row (red, green, blue) a channel: a linear fit of colours in -1..1 to latents; empty where
    none is known. ``preview_codec`` names the small decoder file that previews may use.
    """

    channels: int = 4
    scale: float = 1.0
    shift: float = 0.0
    downscale: int = 8
    """pixels a latent unit is wide"""
    dimensions: int = 2
    rgb_factors: tuple[tuple[float, float, float], ...] = ()
    rgb_bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
    preview_codec: str | None = None

    def to_model(self, latent: Tensor) -> Tensor:
        """From the autoencoder's scale to the diffusion model's."""
        return (latent - self.shift) * self.scale

    def from_model(self, latent: Tensor) -> Tensor:
        """From the diffusion model's scale to the autoencoder's."""
        return latent / self.scale + self.shift


@dataclass(frozen=True, slots=True, eq=False)
class PerRow:
    """A network input [1 or batch, ...], the same shape in every row."""

    value: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class TokenSequence:
    """A network input [1 or batch, tokens, channels]; in a batch, shorter ones are repeated to the common length."""

    value: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class LikeLatent:
    """A network input [1 or batch, channel, height, width] that is cut as the latent is where a condition has an area.

    Under the name ``concat`` it is joined to the noisy latent's channels.
    """

    value: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """A network input that all rows of a batch have in common."""

    value: object


NetworkInput: TypeAlias = PerRow | TokenSequence | LikeLatent | Shared


class Condition(Protocol):
    """A condition as a family sees it; ``extra`` has what nodes added, by name."""

    @property
    def tokens(self) -> Tensor: ...
    @property
    def pooled(self) -> Tensor | None: ...
    @property
    def extra(self) -> Mapping[str, object]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """The run that a condition is read for. Tensors are in the model's scale."""

    noise: Tensor
    """[batch, channel, height, width]"""
    latent: Tensor | None = None
    """what the run starts from"""
    mask: Tensor | None = None
    """where the latent may change: [batch, 1, height, width], 0..1"""
    negative: bool = False
    """whether the condition is on the side that guidance moves away from"""
    seed: int = 0


ReadCondition: TypeAlias = Callable[[Condition, Run], Mapping[str, NetworkInput]]


@dataclass(frozen=True, slots=True, eq=False)
class DiffusionPlan:
    """A diffusion model. The network is called as ``network(x, timesteps, **inputs)``.

    x: [batch, channel, height, width]; timesteps: float32 [batch]; inputs: what ``read_condition`` gave, batched.
    """

    network: NetworkPlan
    sampling: SamplingSpec | Sampling
    latent_format: LatentFormat
    read_condition: ReadCondition


class Token(NamedTuple):
    """A token id, or a row of a textual inversion, with its weight and the number of its word (0: none)."""

    id: int | Tensor
    weight: float = 1.0
    word: int = 0


Chunk: TypeAlias = list[Token]
EmbeddingRows: TypeAlias = "Callable[[str], Mapping[str, Tensor] | None]"
"""Rows [rows, width] of the textual inversion with a name, by text model (``""``: any); None when there is none."""


class TextEncoding(NamedTuple):
    """What a text model gives: [batch, tokens, width], and [batch, width] for the whole text."""

    hidden: Tensor
    pooled: Tensor | None = None


class PromptReader(Protocol):
    """Turns prompts into what one text model takes, and runs it."""

    def tokenize(self, text: str, *, embeddings: EmbeddingRows | None = None) -> list[Chunk]:
        """Chunks of equal length, with start, end and padding."""

    def encode(self, network: nn.Module, chunks: Sequence[Chunk], *, last_layer: int | None = None) -> TextEncoding:
        """Hidden [1, tokens, width] and pooled [1, width], weights applied; ``last_layer``: -1, -2 ... (clip skip)."""


@dataclass(frozen=True, slots=True, eq=False)
class TextModelPlan:
    """One text model. ``reader`` is an object, or the name of a known one: ``clip_l``, ``clip_g``, ``t5xxl``..."""

    network: NetworkPlan
    reader: PromptReader | str


@dataclass(frozen=True, slots=True, eq=False)
class TextPlan:
    """The text models of a family by the name of their token lists (``l``, ``g``), and how they make one condition."""

    models: Mapping[str, TextModelPlan]
    combine: Callable[[Mapping[str, TextEncoding]], TextEncoding]


@dataclass(frozen=True, slots=True, eq=False)
class CodecPlan:
    """Images to latents and back. The network has ``encode(images)`` and ``decode(latents)``.

    A network that lacks one of them says so by an attribute ``halves``, a set with the name of the other.

    Images are [batch, 3, height, width] in -1..1, latents [batch, channels, height / downscale, width / downscale].
    """

    network: NetworkPlan
    channels: int
    downscale: int = 8


@runtime_checkable
class ModelFamily(Protocol):
    """An architecture. Each method answers None for what is not its own; it may raise KeyError for a missing tensor."""

    @property
    def name(self) -> str:
        """In messages, and where a user names a family."""

    def diffusion_plan(self, header: ModelHeader) -> DiffusionPlan | None:
        """The plan of a diffusion model whose names stand without a prefix."""

    def text_plan(self, files: Sequence[ModelHeader]) -> TextPlan | None:
        """The plan of the text models in a checkpoint (one file) or in files of their own."""

    def codec_plan(self, header: ModelHeader) -> CodecPlan | None:
        """The plan of an autoencoder whose names stand without a prefix."""


ConfigValue = int | str | bool | Sequence[int] | None
"""A value of a network's configuration: what JSON can hold, lists of whole numbers included."""


@runtime_checkable
class LatentDiffusionFamily(Protocol):
    """A family whose networks others may build from plain configurations, to train them.

    Each network's `state_dict` keys, with the family's prefix before them, are the keys of the checkpoint file.
    A configuration leaves out what equals the family's published model. Unknown names raise TypeError.
    """

    @property
    def name(self) -> str: ...

    unet_prefix: str
    autoencoder_prefix: str
    text_encoder_prefix: str

    latent_scale: float
    """Factor from the autoencoder's latents to the ones that the UNet sees."""

    def unet(self, config: Mapping[str, ConfigValue]) -> nn.Module:
        """Called with x [batch, channels, height, width], timesteps [batch] and context [batch, tokens, width]."""

    def autoencoder(self, config: Mapping[str, ConfigValue]) -> nn.Module:
        """A module with `moments(image)`, `encode(image)` and `decode(latent)`."""

    def text_encoder(self, config: Mapping[str, ConfigValue]) -> nn.Module:
        """A module called with ids [batch, tokens] and optionally `rows`; its result has `hidden` and `pooled`."""

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Token ids [batch, tokens] with start, end and padding; what does not fit is cut."""


class UnknownFamilyError(LookupError):
    """Raised when no installed plugin offers the model family."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"no model family {name!r} is installed; known: {', '.join(sorted(known)) or 'none'}")
        self.name = name
        self.known = tuple(known)


_source: Callable[[RegisterModelFamily], object] | None = None
_families: tuple[ModelFamily, ...] | None = None


def use_families(source: Callable[[RegisterModelFamily], object] | None) -> None:
    """Have the families of this process come from what ``source(register)`` registers, when they are first needed.

    None: from all installed plugins, as without a kernel.
    """
    global _source, _families
    _source, _families = source, None


def model_families() -> tuple[ModelFamily, ...]:
    """All families in the order in which they are asked: those that the kernel loads, without one all installed ones.

    Raises:
        TypeError: what a plugin registers is no family.
    """
    global _families
    if _families is None:
        found: dict[str, ModelFamily] = {}

        def register(family: ModelFamily) -> None:
            if not isinstance(family, ModelFamily):
                raise TypeError(f"{type(family).__name__} lacks a part of a model family: {_missing(family)}")
            if family.name in found:
                raise ValueError(f"there is a model family {family.name!r} already")
            found[family.name] = family

        (_source or _register_installed)(register)
        _families = tuple(found.values())
    return _families


def find_family(name: str) -> LatentDiffusionFamily:
    """The family of that name whose networks can be built from configurations.

    Raises:
        UnknownFamilyError: there is none.
        TypeError: its networks can't be built so.
    """
    known = {family.name: family for family in model_families()}
    if name not in known:
        raise UnknownFamilyError(name, sorted(known))
    family: object = known[name]
    if not isinstance(family, LatentDiffusionFamily):
        raise TypeError(f"the networks of the family {name!r} can't be built from configurations")
    return family


def _missing(family: object) -> str:
    parts = ("name", "diffusion_plan", "text_plan", "codec_plan")
    return ", ".join(part for part in parts if not hasattr(family, part))


def _register_installed(register: RegisterModelFamily) -> None:
    """Call the hook in every installed plugin; one that fails is logged, the others go on."""
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    for entry in sorted(entry_points(group=hooks.MODEL_FAMILIES_GROUP), key=lambda entry: entry.name, reverse=True):
        try:
            manager.register(entry.load())
        except Exception:  # noqa: BLE001 - a stranger's code must not stop the others
            _log.exception("The model families of %r can't be loaded; the others can", entry.name)
    for implementation in reversed(manager.hook.register_model_families.get_hookimpls()):
        try:
            implementation.function(register)
        except Exception:  # noqa: BLE001 - a stranger's code must not stop the others
            _log.exception("%s failed to register its model families; the others go on", implementation.plugin_name)
