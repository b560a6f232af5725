"""Attributes of modules by a dotted name."""

from __future__ import annotations

from operator import attrgetter

import torch
from torch import Tensor, nn


def get_attr(obj: object, attr: str) -> object:
    """The attribute at the end of a dotted name."""
    return attrgetter(attr)(obj)


def set_attr(obj: object, attr: str, value: object) -> object:
    """Set the attribute at the end of a dotted name; gives what was there."""
    owner, name = _owner(obj, attr)
    previous: object = getattr(owner, name)
    setattr(owner, name, value)
    return previous


def set_attr_param(obj: object, attr: str, value: Tensor) -> object:
    """Set a parameter of a module, without gradients; gives what was there."""
    return set_attr(obj, attr, nn.Parameter(value, requires_grad=False))


def copy_to_param(obj: object, attr: str, value: Tensor) -> None:
    """Copy numbers into a parameter of a module."""
    parameter = get_attr(obj, attr)
    assert isinstance(parameter, Tensor)
    with torch.no_grad():
        parameter.copy_(value)


def _owner(obj: object, attr: str) -> tuple[object, str]:
    front, _, name = attr.rpartition(".")
    return (attrgetter(front)(obj) if front else obj), name
