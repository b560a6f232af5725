"""Networks compiled by region: their repeated blocks, so that one compilation serves all of a kind.

A whole network takes minutes to compile and again for every change around it; its blocks take seconds and make up
nearly all of the time of a call (https://docs.pytorch.org/tutorials/recipes/regional_compilation.html).
"""

from __future__ import annotations

import os
import shutil
from functools import partial
from typing import Final, Literal

import torch
from torch import nn

from comfykernel_core_nodes.diffusion.attention import TransformerBlock
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.errors import DiffusionError
from comfykernel_core_nodes.diffusion.unet import ResBlock

Backend = Literal["inductor", "cudagraphs"]

# Blocks of UNets; in other networks the elements of their lists of modules.
REPEATED: Final = (TransformerBlock, ResBlock)
MARK: Final = "_comfykernel_compiled"
COMPILERS: Final = ("c++", "g++", "clang++")


class NoCompiler(DiffusionError):
    """Raised when a machine lacks what a backend needs."""

    type = "no_compiler"


def compile_regions(model: DiffusionModel, backend: Backend, device: torch.device) -> DiffusionModel:
    """A model whose repeated blocks are compiled at their first call.

    Raises `NoCompiler` when the device has no such backend, or the machine no compiler.
    """
    check_backend(backend, device)
    return model.with_preparation(partial(compile_blocks, backend=backend))


def check_backend(backend: Backend, device: torch.device) -> None:
    """Raise `NoCompiler` when a backend cannot work on a device here."""
    if backend == "cudagraphs" and device.type != "cuda":
        raise NoCompiler(
            f"CUDA graphs need a CUDA device; models run on {device.type} here.", "Choose the backend inductor."
        )
    if backend == "inductor" and not has_compiler():
        raise NoCompiler(
            "Compiling needs a C++ compiler, and there is none on the path of this server.",
            f"Install one of {', '.join(COMPILERS)}, set CXX, or leave the node out.",
        )


def has_compiler() -> bool:
    """Whether there is a C++ compiler."""
    wanted = os.environ.get("CXX")
    return any(shutil.which(name) for name in ([wanted] if wanted else COMPILERS))


def compile_blocks(network: nn.Module, *, backend: str) -> None:
    """Have the repeated blocks of a network compiled by one of torch's backends; a second time changes nothing."""
    for block in repeated_blocks(network):
        if getattr(block, MARK, None) != backend:
            setattr(block, "forward", torch.compile(type(block).forward.__get__(block), backend=backend))  # noqa: B010
            setattr(block, MARK, backend)


def repeated_blocks(network: nn.Module) -> list[nn.Module]:
    """The blocks that a network has many of: those of UNets, else the elements of its lists of modules."""
    known: list[nn.Module] = [module for module in network.modules() if isinstance(module, REPEATED)]
    if known:
        return known
    found: dict[str, nn.Module] = {}
    for name, owner in network.named_modules():
        if isinstance(owner, nn.ModuleList) and not any(name.startswith(f"{outer}.") for outer in found):
            found |= {f"{name}.{index}": block for index, block in enumerate(owner)}
    return list(found.values())
