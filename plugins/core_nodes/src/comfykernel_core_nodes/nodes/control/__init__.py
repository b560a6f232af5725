"""Nodes that steer a model by pictures and boxes: control networks, adapters, GLIGEN, model patches."""
