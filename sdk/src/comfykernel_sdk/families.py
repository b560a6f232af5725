"""Model families: how a plugin builds the networks of an architecture that another plugin knows.

A family is an object behind an entry point of the group `comfykernel.model_families`, named like the family.
Nothing here needs torch at run time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor, nn

ENTRY_POINT_GROUP = "comfykernel.model_families"

ConfigValue = int | str | bool | Sequence[int] | None
"""A value of a network's configuration: what JSON can hold, lists of whole numbers included."""


@runtime_checkable
class LatentDiffusionFamily(Protocol):
    """Builds the three networks of a latent-diffusion checkpoint from plain configurations.

    Each network's `state_dict` keys, with the family's prefix before them, are the keys of the checkpoint file.
    A configuration leaves out what equals the family's published model. Unknown names raise TypeError.
    """

    name: str
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


def find_family(name: str) -> LatentDiffusionFamily:
    """The model family of that name. Raises UnknownFamilyError, and TypeError when the entry point is no family."""
    offered = entry_points(group=ENTRY_POINT_GROUP)
    if name not in offered.names:
        raise UnknownFamilyError(name, sorted(offered.names))
    family = offered[name].load()
    if not isinstance(family, LatentDiffusionFamily):
        raise TypeError(f"entry point {name!r} of {ENTRY_POINT_GROUP} gives a {type(family).__name__}, not a family")
    return family
