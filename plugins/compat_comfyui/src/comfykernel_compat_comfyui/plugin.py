"""What this distribution gives to the kernel: the node packs of the peer, as packs of comfykernel."""

from __future__ import annotations
