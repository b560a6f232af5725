"""Type names of packs that compare themselves in their own way, as data that the server can check.

Many packs make a subclass of ``str`` whose ``!=`` says that it differs from nothing (any type fits), or only from some.
The comparison is done here, with the pack's own object, against every type that some node has.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

PROBES: Final = ("COMFYKERNEL_PROBE", "IMAGE", "A TYPE OF NO NODE", "")
"""A type name that equals all of these is taken to equal every other one."""
ANY: Final = "*"


class SocketType(NamedTuple):
    """A type for the server: one name or several with commas; ``wildcard``: any other type fits."""

    name: str
    wildcard: bool = False

    @property
    def match(self) -> str | None:
        """The mark of wildcards in the specs of inputs and outputs."""
        return "" if self.wildcard else None


def compares_itself(name: str) -> bool:
    """Whether a type name has a comparison of its own."""
    kind = type(name)
    return kind is not str and (kind.__ne__ is not str.__ne__ or kind.__eq__ is not str.__eq__)


def input_type(name: str, known: Collection[str]) -> SocketType:
    """The types of links that an input of this type takes, among those known."""
    text = str.__str__(name)
    if not compares_itself(name):
        return SocketType(text)
    if not any(probe != name for probe in PROBES):
        return SocketType(ANY, wildcard=True)
    return SocketType(",".join(dict.fromkeys([text, *(other for other in known if not other != name)])))  # noqa: SIM202


def output_type(name: str, known: Collection[str]) -> SocketType:
    """The types of inputs that an output of this type may be linked to, among those known."""
    text = str.__str__(name)
    if not compares_itself(name):
        return SocketType(text)
    if not any(name != probe for probe in PROBES):
        return SocketType(ANY, wildcard=True)
    return SocketType(",".join(dict.fromkeys([text, *(other for other in known if not name != other)])))  # noqa: SIM202
