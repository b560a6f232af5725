"""Every hook, named in the tests' names: when it is called, in which process, with what."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import click
import pytest

from comfykernel.engine import create_engine
from comfykernel.plugin_host import PluginHost, Side
from comfykernel.server import running_server
from comfykernel_cli import main
from comfykernel_cli._documents import workflow_readers
from comfykernel_sdk.families import model_families
from comfykernel_sdk.settings import PathSettings, PluginSettings, SchedulerSettings, Settings
from comfykernel_sdk.transport import BusEvent, Kernel

Install = Callable[[str, str, str], None]

FACTORY = """
    from comfykernel_sdk.hooks import hookimpl

    def make(settings): return ("made with", settings.paths.base)

    @hookimpl
    def {hook}(register): register("mine", make)
"""
LISTENER = """
    from comfykernel_sdk.hooks import hookimpl
    calls = []

    @hookimpl
    def on_startup(kernel): calls.append(("on_startup", kernel))

    @hookimpl
    def on_event(event): calls.append(("on_event", event))

    @hookimpl
    def on_shutdown(kernel): calls.append(("on_shutdown", kernel))
"""
MODEL_HOLDER = """
    from comfykernel_sdk.hooks import hookimpl
    from comfykernel_sdk.nodes import NodePack
    from comfykernel_sdk.scheduler import DeviceStatus
    calls = []

    @hookimpl
    def register_nodes(register, settings):
        calls.append(("register_nodes", settings))
        register(NodePack("holder"))

    @hookimpl
    def free_memory(unload_models): calls.append(("free_memory", unload_models))

    @hookimpl
    def model_memory(): return 12

    @hookimpl
    def device_status(): return DeviceStatus(name="abacus", type="cpu")
"""


def settings_in(folder: Path, **plugins: object) -> Settings:
    return Settings(
        paths=PathSettings(base=str(folder)),
        plugins=PluginSettings(**{"transports": (), **plugins}),  # type: ignore[arg-type]
        scheduler=SchedulerSettings(devices=("cpu",)),
    )


def loaded(settings: Settings, side: Side) -> PluginHost:
    host = PluginHost(settings, side=side)
    host.load()
    return host


def imported(name: str) -> ModuleType:
    return importlib.import_module(name)


def test_register_nodes_is_called_in_workers_with_the_settings(install_plugin: Install, tmp_path: Path) -> None:
    install_plugin("holder_plugin", "comfykernel.nodes", MODEL_HOLDER)
    settings = settings_in(tmp_path)
    assert loaded(settings, "server").infos()[0].state != "loaded"
    (pack,) = loaded(settings, "worker").node_packs()
    assert (pack.pack.name, pack.plugin.distribution, pack.plugin.version) == ("holder", "holder-plugin", "1.2")
    assert imported("holder_plugin").calls == [("register_nodes", settings)]


@pytest.mark.parametrize("side", ["server", "worker"])
def test_register_storage_gives_the_chosen_storage_on_both_sides(
    install_plugin: Install, tmp_path: Path, side: Side
) -> None:
    install_plugin("mine_plugin", "comfykernel.storage", FACTORY.format(hook="register_storage"))
    host = loaded(settings_in(tmp_path, storage="mine"), side)
    assert host.storages["mine"](host.settings) == ("made with", str(tmp_path))


def test_register_transports_gives_a_transport_of_the_server(install_plugin: Install, tmp_path: Path) -> None:
    install_plugin("mine_plugin", "comfykernel.transports", FACTORY.format(hook="register_transports"))
    host = loaded(settings_in(tmp_path, transports=("mine",)), "server")
    assert host.make_transports() == {"mine": ("made with", str(tmp_path))}
    assert loaded(settings_in(tmp_path, transports=("mine",)), "worker").transports == {}


def test_register_schedulers_gives_a_scheduler_of_the_server(install_plugin: Install, tmp_path: Path) -> None:
    install_plugin("mine_plugin", "comfykernel.schedulers", FACTORY.format(hook="register_schedulers"))
    host = loaded(settings_in(tmp_path, scheduler="mine"), "server")
    assert host.make_scheduler() == ("made with", str(tmp_path))  # type: ignore[comparison-overlap]


def test_register_model_folders_adds_to_the_storage_that_was_made(install_plugin: Install, tmp_path: Path) -> None:
    install_plugin(
        "folder_plugin",
        "comfykernel.plugins",
        f"""
        from pathlib import Path
        from comfykernel_sdk.hooks import hookimpl

        @hookimpl
        def register_model_folders(register, settings): register("checkpoints", Path({str(tmp_path)!r}) / "more")
        """,
    )
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "found.safetensors").write_bytes(b"")
    storage = loaded(settings_in(tmp_path), "worker").make_storage()
    assert "found.safetensors" in storage.models.names("checkpoints")


def test_register_commands_adds_to_the_command_line(install_plugin: Install) -> None:
    install_plugin(
        "echo_plugin",
        "comfykernel.plugins",
        """
        import click
        from comfykernel_sdk.hooks import hookimpl

        @hookimpl
        def register_commands(register): register(click.Command("echo", callback=lambda: click.echo("heard")))
        """,
    )
    assert isinstance(main, click.Group)
    command = main.get_command(click.Context(main), "echo")
    assert command is not None
    assert command.name == "echo"


def test_register_workflow_readers_is_called_for_commands_that_take_a_workflow(install_plugin: Install) -> None:
    install_plugin(
        "sketch_plugin",
        "comfykernel.plugins",
        """
        from comfykernel_sdk.hooks import hookimpl

        @hookimpl
        def register_workflow_readers(register): register("a reader")
        """,
    )
    assert workflow_readers(Settings()) == ["a reader"]  # type: ignore[comparison-overlap]


async def test_on_startup_on_event_and_on_shutdown_hear_of_a_server(install_plugin: Install, tmp_path: Path) -> None:
    install_plugin("listener_plugin", "comfykernel.plugins", LISTENER)
    calls: list[tuple[str, object]] = imported("listener_plugin").calls
    async with running_server(settings_in(tmp_path)) as (kernel, _):
        assert calls == [("on_startup", kernel)]
        kernel.announce_queue()
    name, event = calls[1]
    assert (name, isinstance(event, BusEvent)) == ("on_event", True)
    assert calls[-1] == ("on_shutdown", kernel)
    given: Kernel = kernel
    assert {info.name: info.state for info in given.plugins()}["listener"] == "started"


async def test_wrap_nodes_is_called_in_workers_with_the_packs_of_all_plugins(
    install_plugin: Install, tmp_path: Path
) -> None:
    install_plugin(
        "one_node_plugin",
        "comfykernel.nodes",
        """
        from comfykernel_sdk.hooks import hookimpl
        from comfykernel_sdk.nodes import NodePack, Result, node

        @node("OneNode")
        def one(value: int) -> Result[None]: return Result()

        @hookimpl
        def register_nodes(register): register(NodePack("one", [one]))
        """,
    )
    install_plugin(
        "wrapping_plugin",
        "comfykernel.plugins",
        """
        import msgspec
        from comfykernel_sdk.hooks import hookimpl
        calls = []

        @hookimpl
        def wrap_nodes(packs):
            calls.append([pack.name for pack in packs])
            for pack in packs:
                for name, definition in pack.nodes.items():
                    pack.nodes[name] = msgspec.structs.replace(definition, run=lambda *_, **__: calls)
        """,
    )
    engine = create_engine(settings_in(tmp_path))
    calls = imported("wrapping_plugin").calls
    assert calls == [["one"]]
    assert engine.registry.classes["OneNode"].definition.run(None) is calls
    async with running_server(settings_in(tmp_path)):
        assert len(calls) == 1, "not in the server"


def test_free_memory_model_memory_and_device_status_are_asked_in_a_worker(
    install_plugin: Install, tmp_path: Path
) -> None:
    install_plugin("holder_plugin", "comfykernel.nodes", MODEL_HOLDER)
    engine = create_engine(settings_in(tmp_path))
    engine.free(unload_models=True, free_memory=False)
    assert imported("holder_plugin").calls[-1] == ("free_memory", True)
    assert engine.model_bytes() == 12
    status = engine.device_status()
    assert status is not None
    assert status.name == "abacus"


def test_register_model_families_is_called_when_a_model_is_first_needed(
    install_plugin: Install, tmp_path: Path
) -> None:
    install_plugin(
        "tile_family_plugin",
        "comfykernel.model_families",
        """
        from comfykernel_sdk.hooks import hookimpl
        calls = []

        class Tiles:
            name = "tiles"
            def diffusion_plan(self, header): return None
            def text_plan(self, files): return None
            def codec_plan(self, header): return None

        @hookimpl
        def register_model_families(register):
            calls.append("called")
            register(Tiles())
        """,
    )
    calls = importlib.import_module("tile_family_plugin").calls
    create_engine(settings_in(tmp_path))
    assert calls == []
    assert [family.name for family in model_families()] == ["tiles"]
    assert model_families()
    assert calls == ["called"]
