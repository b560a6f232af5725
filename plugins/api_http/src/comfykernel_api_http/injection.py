"""What the router hands to its handlers."""

from __future__ import annotations

from typing import Any, TypeAlias

from litestar.di import NamedDependency
from litestar.params import SkipValidation

from comfykernel_sdk.transport import Kernel

from .services import Services

TheKernel: TypeAlias = NamedDependency[SkipValidation[Kernel]]
"""The parameter ``kernel``."""

TheServices: TypeAlias = NamedDependency[SkipValidation[Services]]
"""The parameter ``services``."""

TheDocument: TypeAlias = NamedDependency[SkipValidation[dict[str, Any]]]
"""The parameter ``document``: the OpenAPI document."""
