"""Test nodes of the recorded API contract."""
