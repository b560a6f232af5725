"""Hypernetworks: small networks on the keys and values of a UNet's attention, by their width (NovelAI 2022)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.errors import CheckpointError
from comfykernel_core_nodes.diffusion.file_kinds import described
from comfykernel_core_nodes.diffusion.hook_points import Point, Site
from comfykernel_core_nodes.diffusion.model_header import Header
from comfykernel_core_nodes.diffusion.weight_files import PickleFile, open_weights

# By the names that files use; their "swish" is the hard one.
ACTIVATIONS: Final[Mapping[str, Callable[[], nn.Module]]] = {
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "leakyrelu": nn.LeakyReLU,
    "elu": nn.ELU,
    "swish": nn.Hardswish,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softsign": nn.Softsign,
    "mish": nn.Mish,
}


@dataclass(frozen=True, eq=False)
class Hypernetwork:
    """Two networks, for keys and for values, by the width of the tokens that they take."""

    networks: Mapping[int, tuple[nn.Module, nn.Module]]


def load_hypernetwork(path: Path) -> Hypernetwork:
    """Read a hypernetwork file; raises `CheckpointError`."""
    file = open_weights(path)
    content = file.content if isinstance(file, PickleFile) else {}
    pairs = {key: pair for key, pair in content.items() if isinstance(key, int) and isinstance(pair, list | tuple)}
    if not pairs:
        message = f"holds no hypernetwork; it is {described(Header(file))}."
        raise CheckpointError(path, message, "Expected is a .pt file with networks by width.")
    activation = str(content.get("activation_func") or "linear")
    if activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise CheckpointError(path, f"uses the activation {activation!r}.", f"Known are {known}.")
    for width, pair in pairs.items():
        for tensors in _checked_pair(path, width, pair):
            _check_layers(path, width, tensors)
    return hypernetwork_of(
        pairs,
        activation,
        normed=bool(content.get("is_layer_norm")),
        activate_output=bool(content.get("activate_output")),
    )


def _checked_pair(path: Path, width: int, pair: Sequence[object]) -> list[Mapping[str, Tensor]]:
    """The tensors of a width's two networks; raises `CheckpointError` where there are none."""
    networks = [each for each in pair[:2] if isinstance(each, Mapping)]
    named = [each for each in networks if all(isinstance(tensor, Tensor) for tensor in each.values())]
    if len(named) < 2 or not all(any(str(name).endswith(".weight") for name in each) for each in named):
        message = f"has no two networks of tensors for the width {width}."
        raise CheckpointError(path, message, "Expected is one for keys and one for values.")
    return named


def _check_layers(path: Path, width: int, tensors: Mapping[str, Tensor]) -> None:
    """Raise `CheckpointError` for layers that do not lead from a width back to it, or that hold NaN."""
    before = width
    for name, weight in tensors.items():
        if not bool(torch.isfinite(weight).all()):
            raise CheckpointError(path, f"has NaN or infinity in {name!r}, for the width {width}.")
        if not name.endswith(".weight"):
            continue
        bias = tensors.get(name.removesuffix("weight") + "bias")
        if bias is None or bias.shape != weight.shape[:1] or weight.shape[-1] != before:
            found = "no bias" if bias is None else f"a bias {list(bias.shape)}"
            message = f"has {name!r} of shape {list(weight.shape)} with {found}, after a layer of width {before}."
            raise CheckpointError(path, message, "The file is damaged, or of another layout.")
        before = len(weight)
    if before != width:
        raise CheckpointError(path, f"has a network for tokens of width {width} that gives a width of {before}.")


def hypernetwork_of(
    pairs: Mapping[int, Sequence[Mapping[str, Tensor]]],
    activation: str,
    *,
    normed: bool = False,
    activate_output: bool = False,
) -> Hypernetwork:
    """The hypernetwork of tensors: width -> those of the network for keys and of the one for values.

    normed: a layer norm follows each linear layer; activate_output: the last layer has an activation, too.
    """
    make = ACTIVATIONS[activation]
    networks = {
        width: (
            _network(pair[0], make, normed=normed, activate_output=activate_output),
            _network(pair[1], make, normed=normed, activate_output=activate_output),
        )
        for width, pair in pairs.items()
    }
    return Hypernetwork(networks)


def _network(
    tensors: Mapping[str, Tensor], activation: Callable[[], nn.Module], *, normed: bool, activate_output: bool
) -> nn.Module:
    layers: list[nn.Module] = []
    weights = [name for name in tensors if name.endswith(".weight")]
    for number, name in enumerate(weights):
        weight, bias = tensors[name].float(), tensors[name.removesuffix("weight") + "bias"].float()
        norm = normed and number % 2 == 1
        layer: nn.Module = nn.LayerNorm(len(weight)) if norm else nn.Linear(weight.shape[1], weight.shape[0])
        layer.load_state_dict({"weight": weight, "bias": bias}, assign=True)
        layers.append(layer)
        # Where norms follow, the last linear layer is not the last of the list, and has its activation.
        if not norm and (number < len(weights) - 1 or activate_output):
            layers.append(activation())
    return nn.Sequential(*layers).requires_grad_(requires_grad=False).eval()


def apply_hypernetwork(model: DiffusionModel, hypernetwork: Hypernetwork, strength: float) -> DiffusionModel:
    """A model whose attention sees keys and values changed by a hypernetwork; 1 is as trained, 0 no change."""

    def change(q: Tensor, k: Tensor, v: Tensor, site: Site) -> tuple[Tensor, Tensor, Tensor]:
        pair = hypernetwork.networks.get(k.shape[-1])
        if pair is None:
            return q, k, v
        keys, values = (network.to(k.device, k.dtype) for network in pair)
        return q, k + keys(k) * strength, v + values(v) * strength

    if strength == 0:
        return model
    return model.with_hook(Point.SELF_INPUTS, change).with_hook(Point.CROSS_INPUTS, change)
