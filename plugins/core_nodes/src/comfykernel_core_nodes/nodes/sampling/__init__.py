"""Nodes that sample: steps from noise to latents."""

from __future__ import annotations

from . import custom, guiders, ksampler, noise, published_schedulers, samplers, schedulers, sigmas

MODULES = (ksampler, schedulers, published_schedulers, sigmas, samplers, noise, guiders, custom)
