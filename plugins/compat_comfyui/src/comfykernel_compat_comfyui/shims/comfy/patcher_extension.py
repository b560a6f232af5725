"""Functions that packs put around the steps of sampling."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final


class CallbacksMP:
    """Moments at which functions of packs are told of a model."""

    ON_CLONE: Final = "on_clone"
    ON_LOAD: Final = "on_load_after"
    ON_DETACH: Final = "on_detach_after"
    ON_CLEANUP: Final = "on_cleanup"
    ON_PRE_RUN: Final = "on_pre_run"
    ON_PREPARE_STATE: Final = "on_prepare_state"
    ON_APPLY_HOOKS: Final = "on_apply_hooks"
    ON_REGISTER_ALL_HOOK_PATCHES: Final = "on_register_all_hook_patches"
    ON_INJECT_MODEL: Final = "on_inject_model"
    ON_EJECT_MODEL: Final = "on_eject_model"

    @classmethod
    def init_callbacks(cls) -> dict[str, dict[Any, list[Any]]]:
        """No function at any moment."""
        return {value: {} for name, value in vars(cls).items() if name.isupper()}


class WrappersMP:
    """Steps that functions of packs may stand around."""

    OUTER_SAMPLE: Final = "outer_sample"
    PREPARE_SAMPLING: Final = "prepare_sampling"
    SAMPLER_SAMPLE: Final = "sampler_sample"
    PREDICT_NOISE: Final = "predict_noise"
    CALC_COND_BATCH: Final = "calc_cond_batch"
    APPLY_MODEL: Final = "apply_model"
    DIFFUSION_MODEL: Final = "diffusion_model"

    @classmethod
    def init_wrappers(cls) -> dict[str, dict[Any, list[Any]]]:
        """No function around any step."""
        return {value: {} for name, value in vars(cls).items() if name.isupper()}


class WrapperExecutor:
    """Calls a function through others that stand around it, the first one outermost.

    A wrapper is called as ``wrapper(executor, *args)`` and calls ``executor(*args)`` to go on.
    """

    def __init__(
        self, original: Callable[..., Any], class_obj: Any, wrappers: Sequence[Callable[..., Any]], idx: int = 0
    ) -> None:
        self.original = original
        self.class_obj = class_obj
        self.wrappers = list(wrappers)
        self.idx = idx
        self.is_last = idx == len(self.wrappers)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Go on with the next function."""
        return self._next().execute(*args, **kwargs)

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Call the wrapper of this place, or the function itself."""
        return self.original(*args, **kwargs) if self.is_last else self.wrappers[self.idx](self, *args, **kwargs)

    def _next(self) -> WrapperExecutor:
        return WrapperExecutor(self.original, self.class_obj, self.wrappers, self.idx + 1)

    @classmethod
    def new_executor(
        cls, original: Callable[..., Any], wrappers: Sequence[Callable[..., Any]], idx: int = 0
    ) -> WrapperExecutor:
        """For a function."""
        return cls(original, None, wrappers, idx)

    @classmethod
    def new_class_executor(
        cls, original: Callable[..., Any], class_obj: Any, wrappers: Sequence[Callable[..., Any]], idx: int = 0
    ) -> WrapperExecutor:
        """For a method."""
        return cls(original, class_obj, wrappers, idx)


@dataclass
class PatcherInjection:
    """What is done to a model before a run, and undone after it."""

    inject: Callable[[Any], None]
    eject: Callable[[Any], None]


def add_callback(
    call_type: str, callback: Callable[..., Any], transformer_options: dict[str, Any], is_model_options: bool = False
) -> None:
    """Have a function told of a moment."""
    add_callback_with_key(call_type, None, callback, transformer_options, is_model_options)


def add_callback_with_key(
    call_type: str, key: str | None, callback: Callable[..., Any], transformer_options: dict[str, Any],
    is_model_options: bool = False,
) -> None:  # fmt: skip
    """The same under a key."""
    _add("callbacks", call_type, key, callback, transformer_options, is_model_options=is_model_options)


def get_all_callbacks(call_type: str, transformer_options: dict[str, Any], is_model_options: bool = False) -> list[Any]:
    """The functions of a moment, whatever their key."""
    return _all("callbacks", call_type, transformer_options, is_model_options=is_model_options)


def get_callbacks_with_key(
    call_type: str, key: str | None, transformer_options: dict[str, Any], is_model_options: bool = False
) -> list[Any]:
    """The functions of a moment with a key."""
    return _with_key("callbacks", call_type, key, transformer_options, is_model_options=is_model_options)


def add_wrapper(
    call_type: str, wrapper: Callable[..., Any], transformer_options: dict[str, Any], is_model_options: bool = False
) -> None:
    """Put a function around a step."""
    add_wrapper_with_key(call_type, None, wrapper, transformer_options, is_model_options)


def add_wrapper_with_key(
    call_type: str, key: str | None, wrapper: Callable[..., Any], transformer_options: dict[str, Any],
    is_model_options: bool = False,
) -> None:  # fmt: skip
    """The same under a key."""
    _add("wrappers", call_type, key, wrapper, transformer_options, is_model_options=is_model_options)


def get_all_wrappers(call_type: str, transformer_options: dict[str, Any], is_model_options: bool = False) -> list[Any]:
    """The functions around a step, whatever their key."""
    return _all("wrappers", call_type, transformer_options, is_model_options=is_model_options)


def get_wrappers_with_key(
    call_type: str, key: str | None, transformer_options: dict[str, Any], is_model_options: bool = False
) -> list[Any]:
    """The functions around a step with a key."""
    return _with_key("wrappers", call_type, key, transformer_options, is_model_options=is_model_options)


def merge_nested_dicts(dict1: dict[Any, Any], dict2: dict[Any, Any], copy_dict1: bool = True) -> dict[Any, Any]:
    """One dict of two: dicts are merged, lists joined, of anything else the second's value counts."""
    merged = (
        {key: copy_nested_dicts(value) if isinstance(value, dict) else value for key, value in dict1.items()}
        if copy_dict1
        else dict1
    )
    for key, value in dict2.items():
        known = merged.get(key)
        if isinstance(value, dict):
            merged[key] = merge_nested_dicts(known if isinstance(known, dict) else {}, value)
        elif isinstance(value, list):
            merged[key] = [*(known if isinstance(known, list) else []), *value]
        else:
            merged[key] = value
    return merged


def copy_nested_dicts(input_dict: dict[Any, Any]) -> dict[Any, Any]:
    """A copy of a dict with its dicts and lists; other values stay the same objects."""
    copied: dict[Any, Any] = {}
    for key, value in input_dict.items():
        copied[key] = (
            copy_nested_dicts(value) if isinstance(value, dict) else [*value] if isinstance(value, list) else value
        )
    return copied


def _place(kind: str, options: dict[str, Any], *, is_model_options: bool) -> dict[str, Any]:
    if is_model_options:
        options = options.setdefault("transformer_options", {})
    found: dict[str, Any] = options.setdefault(kind, {})
    return found


def _add(
    kind: str, call_type: str, key: str | None, function: Callable[..., Any], options: dict[str, Any], *,
    is_model_options: bool,
) -> None:  # fmt: skip
    _place(kind, options, is_model_options=is_model_options).setdefault(call_type, {}).setdefault(key, []).append(
        function
    )


def _all(kind: str, call_type: str, options: dict[str, Any], *, is_model_options: bool) -> list[Any]:
    by_key: dict[Any, Iterable[Any]] = _place(kind, options, is_model_options=is_model_options).get(call_type, {})
    return [function for functions in by_key.values() for function in functions]


def _with_key(
    kind: str, call_type: str, key: str | None, options: dict[str, Any], *, is_model_options: bool
) -> list[Any]:
    return list(_place(kind, options, is_model_options=is_model_options).get(call_type, {}).get(key, []))
