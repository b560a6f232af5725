"""The versioned interface for node packs."""

from __future__ import annotations
