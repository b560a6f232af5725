"""For tests of nodes and plugins: run one node, run a graph, a kernel in memory, images, conformance kits.

The engine and the kernel are found by name when they are used: tests of a node pack need the distribution
``comfykernel-kernel`` installed, its code does not. The conformance kits import pytest and are modules of their own:
``comfykernel_sdk.testing.storage_conformance`` and ``scheduler_conformance``.
"""

from __future__ import annotations

from .callers import RunGraph, RunNode, RunPrompt
from .in_process import InProcessScheduler
from .memory_files import MemoryFiles
from .memory_jobs import MemoryJobs
from .memory_kernel import kernel_in_memory, run_prompt
from .memory_models import MemoryModels
from .memory_storage import MemoryStorage
from .memory_users import MemoryUsers
from .pictures import add_input_image, assert_images_close, gradient_image, noise_image, shown_images, solid_image
from .running import GraphRun, GraphRunner, NodeRun, run_graph, run_node

__all__ = [
    "GraphRun",
    "GraphRunner",
    "InProcessScheduler",
    "MemoryFiles",
    "MemoryJobs",
    "MemoryModels",
    "MemoryStorage",
    "MemoryUsers",
    "NodeRun",
    "RunGraph",
    "RunNode",
    "RunPrompt",
    "add_input_image",
    "assert_images_close",
    "gradient_image",
    "kernel_in_memory",
    "noise_image",
    "run_graph",
    "run_node",
    "run_prompt",
    "shown_images",
    "solid_image",
]
