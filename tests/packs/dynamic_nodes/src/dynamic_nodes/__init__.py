"""Test nodes whose inputs depend on each other."""
