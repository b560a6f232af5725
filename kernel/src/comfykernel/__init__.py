"""The microkernel of comfykernel: configuration, plugins, catalog, validation, engine, jobs."""

from __future__ import annotations

__version__ = "0.1.0"
