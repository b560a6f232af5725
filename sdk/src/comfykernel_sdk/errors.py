"""One hierarchy of errors, each with a stable type, a message for people and details for machines::

ComfykernelError
├── BadInput                    the caller can mend it
│   ├── InvalidPrompt           a prompt that can't run
│   ├── InvalidPath             a path that leaves its folder, or can't be a file name
│   ├── NotFound                a file, model, node class or job that does not exist
│   ├── Conflict                the thing is there already
│   ├── Forbidden               known, but not for this caller
│   └── TooLarge                over a configured limit
├── ConfigError                 a setting that is unknown or has a wrong value
├── PluginError                 a plugin that can't be found, loaded or started
├── NodeDefinitionError         a node whose declaration makes no sense
├── ModelFileError              a model file that is damaged or of an unknown kind
└── Unavailable                 the service can't answer at this moment

Interrupted (BaseException)     control flow: the running prompt was cancelled
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from .json_types import Json


class ComfykernelError(Exception):
    """Base of every error that comfykernel raises on purpose.

    Attributes:
        type: stable identifier for machines, e.g. ``"invalid_path"``.
        message: one sentence for people.
        details: what exactly was wrong, may be empty.
        hint: what the reader can do about it, may be empty.
        extra_info: plain data for machines.
    """

    default_type: ClassVar[str] = "error"

    def __init__(
        self,
        message: str,
        *,
        details: str = "",
        hint: str = "",
        type: str | None = None,
        extra_info: dict[str, Json] | None = None,
    ) -> None:
        super().__init__(message)
        self.type = type or self.default_type
        self.message = message
        self.details = details
        self.hint = hint
        self.extra_info: dict[str, Json] = extra_info or {}

    def __str__(self) -> str:
        return " ".join(part for part in (self.message, self.details, self.hint) if part)


class BadInput(ComfykernelError):
    """Raised when the caller's input is at fault."""

    default_type = "bad_input"


class InvalidPrompt(BadInput):
    """Raised when a prompt can't run; carries the errors of its nodes.

    Attributes:
        node_errors: node id -> ``{"errors": [...], "dependent_outputs": [...], "class_type": ...}``.
    """

    default_type = "invalid_prompt"

    def __init__(
        self,
        message: str,
        *,
        details: str = "",
        hint: str = "",
        type: str | None = None,
        extra_info: dict[str, Json] | None = None,
        node_errors: dict[str, Json] | None = None,
    ) -> None:
        super().__init__(message, details=details, hint=hint, type=type, extra_info=extra_info)
        self.node_errors: dict[str, Json] = node_errors or {}


class InvalidPath(BadInput):
    """Raised when a path leaves its folder or can't be the name of a file."""

    default_type = "invalid_path"


class NotFound(BadInput):
    """Raised when a file, a model, a node class or a job does not exist."""

    default_type = "not_found"


class Conflict(BadInput):
    """Raised when a thing to be made is there already."""

    default_type = "conflict"


class Forbidden(BadInput):
    """Raised when the caller may not have what exists."""

    default_type = "forbidden"


class TooLarge(BadInput):
    """Raised when something is over a configured limit."""

    default_type = "too_large"


class ConfigError(ComfykernelError):
    """Raised when a setting is unknown or has a wrong value."""

    default_type = "config_error"


class PluginError(ComfykernelError):
    """Raised when a plugin can't be found, loaded or started."""

    default_type = "plugin_error"


class NodeDefinitionError(ComfykernelError):
    """Raised when the declaration of a node makes no sense."""

    default_type = "node_definition_error"


class ModelFileError(ComfykernelError):
    """Raised when a model file is damaged or of an unknown kind."""

    default_type = "model_file_error"


class Unavailable(ComfykernelError):
    """Raised when the service can't answer at this moment."""

    default_type = "unavailable"


class Interrupted(BaseException):
    """Raised inside a node when its prompt was cancelled; no ``except Exception`` can swallow it."""
