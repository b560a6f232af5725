"""Errors of the diffusion library.

DiffusionError
    UnknownSampler
    UnknownSchedule
    UnknownFamily
    InvalidSchedule
    CheckpointError
    PromptError
    LatentShapeError
    ConditionShapeError
        ResidualShapeError
    InvalidLatent
    IncompatibleModels
    UnsavableCondition
"""

from __future__ import annotations

from collections.abc import Sequence


class DiffusionError(Exception):
    """Base of all errors raised on bad input; `type` is stable, `hint` says what to do about it."""

    type = "diffusion_error"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.message = message
        self.hint = hint


class UnknownSampler(DiffusionError, ValueError):
    """Raised when a sampler name is not in the registry."""

    type = "unknown_sampler"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"There is no sampler {name!r}.", f"Known samplers: {', '.join(known)}.")


class UnknownSchedule(DiffusionError, ValueError):
    """Raised when a schedule name is not in the registry."""

    type = "unknown_schedule"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"There is no schedule {name!r}.", f"Known schedules: {', '.join(known)}.")


class InvalidSchedule(DiffusionError, ValueError):
    """Raised when noise levels cannot be made from what was asked for, or cannot be sampled over."""

    type = "invalid_schedule"


class UnknownFamily(DiffusionError, ValueError):
    """Raised when no installed family has models of a kind."""

    type = "unknown_model_family"

    def __init__(self, kind: str, known: Sequence[str]) -> None:
        hint = "A distribution that adds the family may be installed."
        super().__init__(f"There are no text models of the kind {kind!r} here; there are: {', '.join(known)}.", hint)


class CheckpointError(DiffusionError):
    """Raised when a model file cannot be read or is not of a known kind; `path` names the file."""

    type = "invalid_checkpoint"

    def __init__(self, path: object, message: str, hint: str = "", *, type: str = "invalid_checkpoint") -> None:
        super().__init__(f"{path}: {message}", hint)
        self.path = str(path)
        self.type = type


class PromptError(DiffusionError, ValueError):
    """Raised when a prompt cannot be tokenized."""

    type = "invalid_prompt"


class LatentShapeError(DiffusionError, ValueError):
    """Raised when a latent, mask or image has a shape that the operation cannot take."""

    type = "invalid_shape"


class ConditionShapeError(DiffusionError, ValueError):
    """Raised when a condition was made for models of another family."""

    type = "models_do_not_fit"


class ResidualShapeError(ConditionShapeError):
    """Raised when what a control network adds has no place in the model."""


class InvalidLatent(DiffusionError, ValueError):
    """Raised when a latent holds values that nothing can be made of."""

    type = "invalid_latent"


class IncompatibleModels(DiffusionError, ValueError):
    """Raised when models are to work together that do not fit each other."""

    type = "incompatible_models"


class UnsavableCondition(DiffusionError, ValueError):
    """Raised when conditions carry what a file has no form for."""

    type = "unsavable_conditioning"
