"""The hooks of the distribution, through its entry point."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points

import pytest
import torch
from PIL import Image

from comfykernel_core_nodes.diffusion.memory import DevicePolicy, Part, configure_memory, default_memory
from comfykernel_core_nodes.nodes import worker_process
from comfykernel_sdk.hooks import NODES_GROUP
from comfykernel_sdk.nodes import NodePack
from comfykernel_sdk.settings import ExecutionSettings, Settings


@pytest.fixture
def plugin() -> Iterator[object]:
    limit, threads = Image.MAX_IMAGE_PIXELS, torch.get_num_threads()
    (found,) = entry_points(group=NODES_GROUP, name="core")
    yield found.load()
    Image.MAX_IMAGE_PIXELS = limit
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
    configure_memory(DevicePolicy(device="cpu"))


def register(plugin: object, **execution: object) -> NodePack:
    packs: list[NodePack] = []
    plugin.register_nodes(packs.append, Settings(execution=ExecutionSettings(cpu=True, **execution)))
    (pack,) = packs
    return pack


def test_importing_the_plugin_imports_no_torch() -> None:
    code = (
        "import sys, comfykernel_core_nodes.plugin; print([m for m in ('torch', 'numpy', 'PIL') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_register_nodes_gives_the_pack(plugin: object) -> None:
    pack = register(plugin)
    assert pack.name == "core"
    assert {"CheckpointLoaderSimple", "KSampler", "SaveImage", "LoadImage"} <= pack.nodes.keys()


def test_register_nodes_applies_the_settings(plugin: object) -> None:
    register(plugin, max_image_pixels=1234, threads=1, deterministic=True, unet_precision="bf16", precision="fp32")
    assert Image.MAX_IMAGE_PIXELS == 1234
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    memory = default_memory()
    assert memory.device.type == "cpu"
    inside = {Part.DIFFUSION, Part.CONTROL}
    assert {part: memory.dtype(part) for part in Part} == {
        part: torch.bfloat16 if part in inside else torch.float32 for part in Part
    }


def test_register_nodes_applies_the_storage_of_weights(plugin: object) -> None:
    register(plugin)
    assert {default_memory().policy.storage(part) for part in Part} == {None}
    register(plugin, unet_storage="fp8_e5m2", text_encoder_storage="fp8_e4m3fn")
    policy = default_memory().policy
    stored = {part: policy.storage(part) for part in Part if policy.storage(part) is not None}
    assert stored == {Part.DIFFUSION: torch.float8_e5m2, Part.TEXT: torch.float8_e4m3fn}


def test_the_worker_runs_on_its_own_device(plugin: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(worker_process.DEVICE_VARIABLE, "cpu")
    plugin.register_nodes(lambda pack: None, Settings())
    assert default_memory().device == torch.device("cpu")


def test_device_status_of_the_cpu_is_the_machines_memory(plugin: object) -> None:
    register(plugin)
    status = plugin.device_status()
    assert (status.name, status.type, status.index) == ("cpu", "cpu", None)
    assert 0 < status.vram_free <= status.vram_total == status.torch_vram_total


def test_the_reserve_is_what_models_leave_free(plugin: object) -> None:
    register(plugin, reserve_memory_gb=2.5)
    assert default_memory().reserve_bytes() == 2.5 * 2**30
    register(plugin)
    assert default_memory().reserve_bytes() == 2**30


def test_models_may_take_so_much_memory(plugin: object) -> None:
    register(plugin, model_memory_gb=0.5)
    assert default_memory().limit_bytes() == 2**29
    register(plugin)
    assert default_memory().limit_bytes() > 0
    assert default_memory().policy.model_bytes is None


def test_model_memory_and_free_memory(plugin: object, tiny_checkpoint: object) -> None:
    from comfykernel_core_nodes.diffusion.checkpoints import load_vae

    register(plugin)
    assert plugin.model_memory() == 0
    codec = load_vae(tiny_checkpoint)
    codec.decode(torch.zeros(1, 4, 2, 2))
    assert plugin.model_memory() > 0
    plugin.free_memory(unload_models=False)
    assert plugin.model_memory() > 0
    plugin.free_memory(unload_models=True)
    assert plugin.model_memory() == 0
