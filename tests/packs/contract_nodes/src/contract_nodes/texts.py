"""Annotations that many test nodes share."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from comfykernel_sdk.sockets import Socket, Text

Value: TypeAlias = Annotated[str, Text(default="")]
"""A text widget, empty by default."""
LinkedText: TypeAlias = Annotated[str, Socket("STRING", force_input=True)]
"""A text that only a link can give."""
String: TypeAlias = Annotated[str, Socket("STRING")]
"""A text as output."""
CATEGORY = "contract"
