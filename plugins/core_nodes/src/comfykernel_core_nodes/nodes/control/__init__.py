"""Nodes that steer a model by pictures and boxes: control networks, adapters, GLIGEN, model patches."""

from __future__ import annotations

from . import control_nets, gligen, model_patches

MODULES = (control_nets, gligen, model_patches)
