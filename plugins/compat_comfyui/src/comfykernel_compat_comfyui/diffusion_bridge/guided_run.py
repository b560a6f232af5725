"""One run of a model under the options that packs have put on it: prediction by prediction."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from ..running_nodes import stop_if_interrupted
from .attention_patches import hooks_of
from .library import (
    NO_HOOKS,
    Batch,
    Call,
    CallGuided,
    DiffusionModel,
    Guided,
    GuidedRun,
    Hooks,
    ModelCall,
    PlacedCondition,
    Predict,
    Predictions,
    RunnableModel,
    Side,
    Stages,
    Step,
    control_call,
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
    hooks: Hooks = NO_HOOKS
    """functions inside the network for this call, besides those of packs"""

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
            call = control_call(self.model, default_memory(), batch, inputs)
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
        return self.model.denoise(x, t, inputs, hooks=hooks_of(options).joined(self.hooks), call=call)


@dataclass(frozen=True, slots=True)
class PackCalls:
    """The same for a run in which conditions may want weights of their own; ``network`` tells the model of a batch."""

    network: Any
    options: Options

    def __call__(self, batch: Batch) -> Tensor:
        hooks = batch.hooks
        for attachment in batch.conditions[0].condition.attachments:
            hooks = hooks.joined(attachment.hooks(batch.x.shape, default_memory()))
        return PackCall(self.network.runnable(batch), self.options, hooks)(batch)


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
    out = before_combining(model, conds, out, cond_scale, x, timestep, options)
    combined = cfg_function(
        model, out[0], out[1], cond_scale, x, timestep, model_options=options, cond=cond, uncond=conds[1]
    )
    return combined, out[1]


def before_combining(
    model: Any, conds: Sequence[Any], out: list[Tensor], cond_scale: float, x: Tensor, timestep: Tensor,
    options: Options,
) -> list[Tensor]:  # fmt: skip
    """The predictions, changed by functions of packs."""
    for function in options.get("sampler_pre_cfg_function", ()):
        told = {
            "conds": conds, "conds_out": out, "cond_scale": cond_scale, "timestep": timestep, "input": x,
            "sigma": timestep, "model": model, "model_options": options,
        }  # fmt: skip
        out = function(told)
    return out


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
    return after_combining(model, result, cond_pred, uncond_pred, cond_scale, x, timestep, options, cond, uncond)


def after_combining(
    model: Any, result: Tensor, cond_pred: Tensor, uncond_pred: Tensor, cond_scale: float, x: Tensor, timestep: Tensor,
    options: Options, cond: Any, uncond: Any,
) -> Tensor:  # fmt: skip
    """The combined prediction, changed by functions of packs."""
    for function in options.get("sampler_post_cfg_function", ()):
        told = {
            "denoised": result, "cond": cond, "uncond": uncond, "cond_scale": cond_scale, "model": model,
            "uncond_denoised": uncond_pred, "cond_denoised": cond_pred, "sigma": timestep, "model_options": options,
            "input": x,
        }  # fmt: skip
        result = function(told)
    return result


class PackRun:
    """The options of packs at the stages of one run."""

    def __init__(self, patcher: ModelPatcher, run: GuidedRun) -> None:
        self._options = run_options(patcher)
        self._face = patcher.model
        self._run = run
        self._network: Any = None

    def inner_stages(self) -> Stages:
        """What stands directly around the network."""
        return Stages(around_network=(self._around_network,))

    def outer_stages(self) -> Stages:
        """All else."""
        options = self._options
        return Stages(
            around_call=(_interruptible,),
            around_sides=(self._around_sides,) if options.get("sampler_calc_cond_batch_function") else (),
            around_prediction=(self._around_prediction,),
            before=(self._before,),
            combine=(self._combine,) if options.get("sampler_cfg_function") else (),
            after=(self._after,),
            mask=(self._mask,) if options.get("denoise_mask_function") else (),
            needs_negative=bool(options.get("disable_cfg1_optimization", False)),
        )

    def _around_network(self, call: ModelCall) -> ModelCall:
        self._network = call
        if not isinstance(call, PackCalls):
            return PackCalls(call, self._options)
        # What was put on the model later stands inside already.
        from ..shims.comfy.patcher_extension import merge_nested_dicts

        self._network = call.network
        return PackCalls(call.network, merge_nested_dicts(self._options, dict(call.options)))

    def _mask(self, mask: Tensor, sigma: Tensor) -> Tensor:
        told = {"model": self._model, "sigmas": self._run.sigmas}
        changed: Tensor = self._options["denoise_mask_function"](_levels(mask, sigma), mask, extra_options=told)
        return changed

    @property
    def _model(self) -> InnerModel:
        return InnerModel(self._face, partial(PackCalls, self._network))

    def _around_sides(self, predict: Predict, own: Tensor, sigma: Tensor) -> Predict:
        def predicted(
            sides: Sequence[Side | None], *, x: Tensor | None = None, hooks: Hooks = NO_HOOKS
        ) -> list[Tensor]:
            told = {
                "conds": list(sides), "input": own, "sigma": _levels(own, sigma), "model": self._model,
                "model_options": self._options,
            }  # fmt: skip
            out: list[Tensor] = self._options["sampler_calc_cond_batch_function"](told)
            return out

        return predicted

    def _around_prediction(self, predict: Predict, own: Tensor, sigma: Tensor) -> Predict:
        def predicted(
            sides: Sequence[Side | None], *, x: Tensor | None = None, hooks: Hooks = NO_HOOKS
        ) -> list[Tensor]:
            def run(model: Any, conds: Any, x: Tensor, timestep: Tensor, options: Options) -> list[Tensor]:
                return predict(conds, x=x, hooks=hooks)

            seen = own if x is None else x
            function = around(run, "calc_cond_batch", self._options.get("transformer_options", {}))
            out: list[Tensor] = function(self._model, list(sides), seen, _levels(seen, sigma), self._options)
            return out

        return predicted

    def _before(self, step: Step) -> Predictions:
        conds, out = [step.positive, step.negative], list(step.predictions)
        changed = before_combining(
            self._model, conds, out, step.scale, step.x, _levels(step.x, step.sigma), self._options
        )
        return Predictions(changed[0], changed[1])

    def _combine(self, step: Step) -> Tensor:
        without_after = {**self._options, "sampler_post_cfg_function": ()}
        return cfg_function(
            self._model, step.cond, step.uncond, step.scale, step.x, _levels(step.x, step.sigma),
            model_options=without_after, cond=step.positive, uncond=step.negative,
        )  # fmt: skip

    def _after(self, denoised: Tensor, step: Step) -> Tensor:
        return after_combining(
            self._model, denoised, step.cond, step.uncond, step.scale, step.x, _levels(step.x, step.sigma),
            self._options, step.positive, step.negative,
        )  # fmt: skip


def _levels(x: Tensor, sigma: Tensor) -> Tensor:
    return torch.as_tensor(sigma).to(x).expand(len(x))


def _interruptible(call: CallGuided) -> CallGuided:
    def guided(x: Tensor, sigma: Tensor, *, needs_negative: bool) -> Guided:
        stop_if_interrupted()
        return call(x, sigma, needs_negative=needs_negative)

    return guided


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
    """The model with the options that packs have put on it, besides the guidance that it has."""
    if not any(value for value in run_options(patcher).values()):
        return model
    begun: dict[int, PackRun] = {}

    def inner(run: GuidedRun) -> Stages:
        begun[id(run)] = PackRun(patcher, run)
        return begun[id(run)].inner_stages()

    def outer(run: GuidedRun) -> Stages:
        return begun.pop(id(run)).outer_stages()

    return replace(model, guidance=(inner, *model.guidance, outer))
