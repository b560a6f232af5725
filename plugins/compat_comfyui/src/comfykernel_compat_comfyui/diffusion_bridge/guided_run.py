"""One run of a model under the options that packs have put on it: prediction by prediction."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from ..running_nodes import stop_if_interrupted
from .attention_patches import hooks_of
from .library import (
    Batch,
    Call,
    ControlCall,
    DiffusionModel,
    Guided,
    PlacedCondition,
    RunnableModel,
    control_residuals,
    default_memory,
    join_inputs,
    predict_sides,
)
from .model_face import C_CONCAT, C_CONTEXT, CONCAT, CONTEXT

if TYPE_CHECKING:
    from .patcher import ModelPatcher

Options = Mapping[str, Any]
_TO_PACK: Final = {CONTEXT: C_CONTEXT, CONCAT: C_CONCAT}
_FROM_PACK: Final = {theirs: ours for ours, theirs in _TO_PACK.items()}


@dataclass(frozen=True, slots=True)
class PackCall:
    """Calls the network for a batch of conditions, through the wrapper of a pack if there is one."""

    model: RunnableModel
    options: Options

    def __call__(self, batch: Batch) -> Tensor:
        transformer_options = {
            **self.options.get("transformer_options", {}), "cond_or_uncond": list(batch.sides), "sigmas": batch.sigma,
        }  # fmt: skip
        c = {_TO_PACK.get(name, name): value for name, value in self._inputs(batch).items()}
        c["transformer_options"] = transformer_options
        wrapper = self.options.get("model_function_wrapper")
        apply = around(self.apply, "apply_model", transformer_options)
        if wrapper is None:
            result: Tensor = apply(batch.x, batch.sigma, **c)
            return result
        told = {"input": batch.x, "timestep": batch.sigma, "c": c, "cond_or_uncond": list(batch.sides)}
        wrapped: Tensor = wrapper(apply, told)
        return wrapped

    def _inputs(self, batch: Batch) -> dict[str, Any]:
        inputs = join_inputs([c.inputs for c in batch.conditions], [c.crop for c in batch.conditions], batch.rows)
        controls = batch.conditions[0].condition.controls
        if controls:
            call = ControlCall(self.model, default_memory(), batch.x, batch.sigma, inputs, len(batch.conditions))
            residuals = control_residuals(controls, call)
            if residuals is not None:
                inputs["control"] = {name: list(values) for name, values in residuals.items()}
        return inputs

    def apply(
        self, x: Tensor, t: Tensor, c_concat: Tensor | None = None, c_crossattn: Tensor | None = None,
        control: Any = None, transformer_options: Options | None = None, **kwargs: Any,
    ) -> Tensor:  # fmt: skip
        """Prediction of the clean latent for noisy latents x at levels t."""
        options = transformer_options or {}
        given = {CONTEXT: c_crossattn, CONCAT: c_concat, "control": control, **kwargs}
        inputs = {_FROM_PACK.get(name, name): value for name, value in given.items() if value is not None}
        call = Call(tuple(options.get("cond_or_uncond", ())), t, tuple(x.shape))
        return self.model.denoise(x, t, inputs, hooks=hooks_of(options), call=call)


@dataclass(frozen=True, slots=True)
class PackCalls:
    """The same for a run in which conditions may want weights of their own; ``network`` tells the model of a batch."""

    network: Any
    options: Options

    def __call__(self, batch: Batch) -> Tensor:
        return PackCall(self.network.runnable(batch), self.options)(batch)


def around(function: Callable[..., Any], step: str, options: Options) -> Callable[..., Any]:
    """A function with the wrappers that packs have put around a step of this name."""
    wrappers = [wrapper for by_key in options.get("wrappers", {}).get(step, {}).values() for wrapper in by_key]
    if not wrappers:
        return function
    from ..shims.comfy.patcher_extension import WrapperExecutor

    return partial(WrapperExecutor.new_executor(function, wrappers).execute)


@dataclass(frozen=True, slots=True)
class InnerModel:
    """What functions of packs get as ``model`` during a run: the model's face, and its network ready to be called."""

    face: Any
    call: Callable[[Options], PackCalls]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.face, name)


def predict(model: Any, conds: Sequence[Any], x: Tensor, timestep: Tensor, options: Options) -> list[Tensor]:
    """One prediction of the clean latent for each side; a side that is ``None`` gives zeros."""
    call: PackCalls = model.call(options)
    sides: list[Sequence[PlacedCondition]] = [side or [] for side in conds]
    function = around(partial(_predict, call), "calc_cond_batch", options.get("transformer_options", {}))
    predicted: list[Tensor] = function(model, sides, x, timestep, options)
    return predicted


def _predict(call: PackCalls, model: Any, sides: Any, x: Tensor, timestep: Tensor, options: Options) -> list[Tensor]:
    return predict_sides(call, x, timestep.flatten()[0], sides)


def sampling_function(
    model: Any, x: Tensor, timestep: Tensor, uncond: Any, cond: Any, cond_scale: float,
    model_options: Options | None = None, seed: int | None = None,
) -> Tensor:  # fmt: skip
    """The guided prediction of the clean latent, with the options of packs."""
    return guided_prediction(model, x, timestep, uncond, cond, cond_scale, model_options or {})[0]


def guided_prediction(
    model: Any, x: Tensor, timestep: Tensor, uncond: Any, cond: Any, cond_scale: float, options: Options, *,
    needs_negative: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The guided prediction, and the one for the negative side."""
    keeps = needs_negative or options.get("disable_cfg1_optimization", False)
    conds = [cond, None if math.isclose(cond_scale, 1.0) and not keeps else uncond]
    override = options.get("sampler_calc_cond_batch_function")
    if override is not None:
        told = {"conds": conds, "input": x, "sigma": timestep, "model": model, "model_options": options}
        out: list[Tensor] = override(told)
    else:
        out = predict(model, conds, x, timestep, options)
    for function in options.get("sampler_pre_cfg_function", ()):
        told = {
            "conds": conds, "conds_out": out, "cond_scale": cond_scale, "timestep": timestep, "input": x,
            "sigma": timestep, "model": model, "model_options": options,
        }  # fmt: skip
        out = function(told)
    combined = cfg_function(
        model, out[0], out[1], cond_scale, x, timestep, model_options=options, cond=cond, uncond=conds[1]
    )
    return combined, out[1]


def cfg_function(
    model: Any, cond_pred: Tensor, uncond_pred: Tensor, cond_scale: float, x: Tensor, timestep: Tensor,
    model_options: Options | None = None, cond: Any = None, uncond: Any = None,
) -> Tensor:  # fmt: skip
    """Classifier-free guidance (Ho and Salimans 2022, eq. 6), or what a pack does in its place."""
    options = model_options or {}
    told: dict[str, Any] = {
        "cond": x - cond_pred, "uncond": x - uncond_pred, "cond_scale": cond_scale, "timestep": timestep, "input": x,
        "sigma": timestep, "cond_denoised": cond_pred, "uncond_denoised": uncond_pred, "model": model,
        "model_options": options, "input_cond": cond, "input_uncond": uncond,
    }  # fmt: skip
    function = options.get("sampler_cfg_function")
    if function is not None:
        result: Tensor = x - function(told)
    else:
        result = uncond_pred + (cond_pred - uncond_pred) * cond_scale
    for function in options.get("sampler_post_cfg_function", ()):
        told = {
            "denoised": result, "cond": cond, "uncond": uncond, "cond_scale": cond_scale, "model": model,
            "uncond_denoised": uncond_pred, "cond_denoised": cond_pred, "sigma": timestep, "model_options": options,
            "input": x,
        }  # fmt: skip
        result = function(told)
    return result


class PackDenoiser:
    """A model with its conditions and the options of packs, as samplers of the library see it."""

    def __init__(
        self, patcher: ModelPatcher, call: Any, positive: Sequence[PlacedCondition],
        negative: Sequence[PlacedCondition], scale: float, *, check: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self._options = run_options(patcher)
        self._model = InnerModel(patcher.model, partial(PackCalls, call))
        self._sides = (positive, negative)
        self._scale = scale
        self._check = check

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self._predict(x, sigma, needs_negative=False)[0]

    def guided(self, x: Tensor, sigma: Tensor) -> Guided:
        """The same with the negative prediction."""
        return Guided(*self._predict(x, sigma, needs_negative=True))

    def _predict(self, x: Tensor, sigma: Tensor, *, needs_negative: bool) -> tuple[Tensor, Tensor]:
        if self._check is not None:
            self._check()
        stop_if_interrupted()
        positive, negative = self._sides
        level = torch.as_tensor(sigma).to(x).expand(len(x))
        return guided_prediction(
            self._model, x, level, negative, positive, self._scale, self._options, needs_negative=needs_negative
        )


def run_options(patcher: ModelPatcher) -> dict[str, Any]:
    """The options of a run: the model's own, with the wrappers that were put on the handle."""
    options = dict(patcher.model_options)
    if patcher.wrappers:
        from ..shims.comfy.patcher_extension import merge_nested_dicts

        inner = dict(options.get("transformer_options", {}))
        inner["wrappers"] = merge_nested_dicts(inner.get("wrappers", {}), patcher.wrappers)
        options["transformer_options"] = inner
    return options


def with_options(model: DiffusionModel, patcher: ModelPatcher) -> DiffusionModel:
    """The model with a run of its own when packs have put options on it."""
    if not any(value for value in run_options(patcher).values()):
        return model
    return model.with_denoiser(partial(PackDenoiser, patcher))
