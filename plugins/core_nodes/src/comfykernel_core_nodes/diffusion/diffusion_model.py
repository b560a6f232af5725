"""A diffusion model as a handle: weights, sampling, latent format, and how it reads conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.guidance.stages import Guidance
from comfykernel_core_nodes.diffusion.hook_points import Call, Hooks, Point, Site
from comfykernel_core_nodes.diffusion.latent_formats import LatentFormat
from comfykernel_core_nodes.diffusion.memory import ModelMemory, Part, default_memory
from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_core_nodes.diffusion.weights import TensorSource, WeightPatch, Weights
from comfykernel_sdk.families import ReadCondition


@dataclass(frozen=True, eq=False)
class DiffusionModel:
    """An immutable handle; what changes a model makes a new one that shares the weights."""

    weights: Weights[nn.Module]
    sampling: ModelSampling
    latent_format: LatentFormat
    read_condition: ReadCondition
    family: str = ""
    hooks: Hooks = field(default_factory=Hooks)
    guidance: tuple[Guidance, ...] = ()
    """what acts on the predictions of a run, in order"""
    prepare: Callable[[nn.Module], None] | None = None
    """done to the network whenever it was loaded; a second time it must change nothing"""
    denoiser: Callable[..., Any] | None = None
    """makes the denoiser of a run from (call, positive, negative, scale, check=), in place of `GuidedDenoiser`"""

    beside: TensorSource | None = None
    """what its checkpoint has for it besides the network, by the names there, such as the image encoder of unCLIP"""

    def with_patches(self, patches: Mapping[str, WeightPatch]) -> DiffusionModel:
        """A model with one more patch on each named weight (names as in the network)."""
        return replace(self, weights=self.weights.with_patches(patches))

    def with_sampling(self, sampling: ModelSampling) -> DiffusionModel:
        """A model with other noise levels or another parametrisation."""
        return replace(self, sampling=sampling)

    def with_hook(self, point: Point, function: Callable[..., Any]) -> DiffusionModel:
        """A model with one more function at a point of its network."""
        return replace(self, hooks=self.hooks.with_function(point, function))

    def with_guidance(self, *guidance: Guidance) -> DiffusionModel:
        """A model whose runs are guided by more functions, after those that are there."""
        return replace(self, guidance=(*self.guidance, *guidance))

    def with_denoiser(self, denoiser: Callable[..., Any] | None) -> DiffusionModel:
        """A model whose runs are guided by a denoiser of another kind."""
        return replace(self, denoiser=denoiser)

    def with_preparation(self, prepare: Callable[[nn.Module], None]) -> DiffusionModel:
        """A model whose network is prepared before it runs, such as compiled; that of this model stays as it is."""
        return replace(self, weights=replace(self.weights, packable=False), prepare=prepare)

    def ready(self, memory: ModelMemory | None = None, *, weights: Weights[nn.Module] | None = None) -> RunnableModel:
        """The model on its device; weights: other ones of the same network."""
        memory = memory or default_memory()
        network = memory.module(weights or self.weights, Part.DIFFUSION)
        if self.prepare is not None:
            self.prepare(network)
        return RunnableModel(network, self.sampling, self.hooks, self.weights)


@dataclass(frozen=True, slots=True)
class RunnableModel:
    """A model on its device, for one run."""

    network: nn.Module
    sampling: ModelSampling
    hooks: Hooks = field(default_factory=Hooks)
    weights: Weights[nn.Module] | None = None
    """of the model, without what single conditions change, for networks that are made of them"""

    def network_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        """What the network sees of a noisy latent, float32; sigma: [batch]."""
        return self.sampling.parametrisation.network_input(x, _like(sigma, x))

    def timesteps(self, sigma: Tensor) -> Tensor:
        """What the network is told of noise levels [batch], float32."""
        return self.sampling.levels.timestep(sigma).float()

    def denoise(
        self,
        x: Tensor,
        sigma: Tensor,
        inputs: Mapping[str, object],
        *,
        hooks: Hooks | None = None,
        call: Call | None = None,
    ) -> Tensor:
        """Prediction of the clean latent, float32 [batch, channel, height, width].

        x: noisy latent of the same shape; sigma: [batch]; inputs: what the model's family made of the conditions, each
        for the whole batch; `concat` joins the channels of x. hooks: functions for this call besides the model's own.
        """
        weight = next(self.network.parameters())
        inputs = {name: _placed(value, weight) for name, value in inputs.items()}
        seen = self.network_input(x, sigma)
        if (concat := inputs.pop("concat", None)) is not None:
            seen = torch.cat([seen, torch.as_tensor(concat).to(seen)], dim=1)
        own = self.hooks if hooks is None else self.hooks.joined(hooks)
        if own.functions:
            own = own.for_call(call or Call(sigma=sigma, latent_shape=tuple(x.shape)))
            inputs["hooks"] = own
        timesteps = self.timesteps(sigma)

        def run(seen: Tensor) -> Tensor:
            out: Tensor = self.network(seen, timesteps, **inputs)
            return out

        output: Tensor = own.wrapped(Point.NETWORK, run, Site("network", 0))(seen.to(weight.dtype))
        return self.sampling.parametrisation.denoised(x, output.float(), _like(sigma, x))


def _like(sigma: Tensor, x: Tensor) -> Tensor:
    return sigma.view(-1, *[1] * (x.ndim - 1)).to(x.dtype)


def _placed(value: object, weight: Tensor) -> object:
    """Tensors of an input on the network's device, floating-point ones in its precision."""
    if isinstance(value, Tensor):
        return value.to(weight.device, weight.dtype) if value.is_floating_point() else value.to(weight.device)
    if isinstance(value, list | tuple):
        return [_placed(each, weight) for each in value]
    if isinstance(value, dict):
        return {name: _placed(each, weight) for name, each in value.items()}
    return value
