"""Validation of prompts in the server, from the catalog alone; only a node's own validator is asked in a worker.

The error types, their texts and the structure of ``node_errors`` are those of the ComfyUI API, so that every client
can show them. Unlike there, chains may be of any length and a cycle is named instead of running into a limit.
"""

from __future__ import annotations

from ._prompt import Ask, Validated, validate_prompt

__all__ = ["Ask", "Validated", "validate_prompt"]
