"""Nodes written as classes with ``INPUT_TYPES``, ``RETURN_TYPES`` and ``FUNCTION``."""
