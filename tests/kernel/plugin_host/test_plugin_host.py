"""The plugin host: what is loaded where, what is chosen, and that a broken plugin stops nobody."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from comfykernel import plugin_host
from comfykernel.plugin_host import PluginHost, Side
from comfykernel_sdk import hooks
from comfykernel_sdk.errors import ConfigError, PluginError
from comfykernel_sdk.settings import PluginSettings, Settings

Write = Callable[..., EntryPoint]

STORAGE = """
    class Models:
        def __init__(self): self.roots = []
        def add_root(self, folder, path, *, first=False): self.roots.append((folder, path))

    class Storage:
        def __init__(self, settings): self.models = Models()

    @hookimpl
    def register_storage(register): register("disk", Storage)
"""
NODES = """
    from comfykernel_sdk.nodes import NodePack, node

    @node("Greet")
    def greet(name: str) -> str:
        return name

    @hookimpl
    def register_nodes(register): register(NodePack("greetings", [greet]))
"""
HALF_WAY = """
    def half_way(register, pack):
        register(pack)
        raise RuntimeError("half way")
"""


def host_of(
    *entries: EntryPoint, side: Side = "server", environ: dict[str, str] | None = None, **plugins: object
) -> PluginHost:
    settings = Settings(plugins=PluginSettings(**plugins))  # type: ignore[arg-type]
    host = PluginHost(settings, side=side, entry_points=entries, environ=environ or {})
    host.load()
    return host


def states(host: PluginHost) -> dict[str, str]:
    return {info.name: info.state for info in host.infos()}


def test_only_what_is_chosen_is_imported_in_the_server(write_plugin: Write) -> None:
    entries = [
        write_plugin(hooks.STORAGE_GROUP, "disk", STORAGE),
        write_plugin(hooks.STORAGE_GROUP, "cloud", "raise AssertionError"),
        write_plugin(hooks.TRANSPORTS_GROUP, "fax", "raise AssertionError"),
        write_plugin(hooks.NODES_GROUP, "nodes", "raise AssertionError"),
        write_plugin(hooks.PLUGINS_GROUP, "listener", ""),
    ]
    host = host_of(*entries, storage="disk")
    assert states(host) == {
        "disk": "loaded", "cloud": "found", "fax": "found", "nodes": "found", "listener": "loaded",
    }  # fmt: skip
    assert [entry.module in sys.modules for entry in entries] == [True, False, False, False, True]


def test_a_worker_loads_nodes_and_storage_but_no_transport(write_plugin: Write) -> None:
    host = host_of(
        write_plugin(hooks.STORAGE_GROUP, "disk", STORAGE),
        write_plugin(hooks.TRANSPORTS_GROUP, "http", "raise AssertionError"),
        write_plugin(hooks.NODES_GROUP, "nodes", NODES),
        side="worker",
        storage="disk",
    )
    assert states(host) == {"disk": "loaded", "http": "found", "nodes": "loaded"}
    (loaded,) = host.node_packs()
    assert (loaded.pack.name, list(loaded.pack.nodes), loaded.plugin.error) == ("greetings", ["Greet"], "")
    host.mark_started()
    assert states(host)["nodes"] == "started"


def test_a_plugin_that_cannot_be_imported_stops_nobody(write_plugin: Write, caplog: pytest.LogCaptureFixture) -> None:
    host = host_of(
        write_plugin(hooks.PLUGINS_GROUP, "broken", "import no_such_module_anywhere"),
        write_plugin(hooks.PLUGINS_GROUP, "exits", "raise SystemExit(3)"),
        write_plugin(hooks.PLUGINS_GROUP, "good", ""),
    )
    assert states(host) == {"broken": "failed", "exits": "failed", "good": "loaded"}
    error = host.infos()[0].error
    assert error.startswith("Traceback")
    assert "no_such_module_anywhere" in error
    assert "'broken'" in caplog.text
    assert "no_such_module_anywhere" in caplog.text


def test_strict_raises_what_went_wrong(write_plugin: Write) -> None:
    with pytest.raises(PluginError, match="'broken' failed to load"):
        host_of(write_plugin(hooks.PLUGINS_GROUP, "broken", "1 / 0"), strict=True)


def test_an_unknown_hook_fails_its_plugin_with_the_near_miss(write_plugin: Write) -> None:
    source = "@hookimpl\ndef on_startp(kernel): pass"
    host = host_of(write_plugin(hooks.PLUGINS_GROUP, "typo", source))
    assert states(host) == {"typo": "failed"}
    assert "There is no hook 'on_startp'. Did you mean 'on_startup'?" in host.infos()[0].error


def test_an_unknown_argument_of_a_hook_fails_its_plugin(write_plugin: Write) -> None:
    good = "heard = []\n@hookimpl\ndef on_event(event): heard.append(event)"
    host = host_of(
        write_plugin(hooks.PLUGINS_GROUP, "bad", "@hookimpl\ndef on_event(evnt): pass"),
        write_plugin(hooks.PLUGINS_GROUP, "good", good),
    )
    assert states(host) == {"bad": "failed", "good": "loaded"}
    assert "evnt" in host.infos()[0].error
    assert len(host.hook.on_event.implementations()) == 1


def test_wrappers_are_refused(write_plugin: Write) -> None:
    source = "@hookimpl(wrapper=True)\ndef on_event(event): return (yield)"
    host = host_of(write_plugin(hooks.PLUGINS_GROUP, "wraps", source))
    assert "wrappers of hooks are not supported" in host.infos()[0].error


def test_a_failing_call_is_logged_once_and_the_others_are_called(
    write_plugin: Write, caplog: pytest.LogCaptureFixture
) -> None:
    host = host_of(
        write_plugin(hooks.PLUGINS_GROUP, "a_bad", "@hookimpl\ndef model_memory(): raise KeyError('lost')"),
        write_plugin(hooks.PLUGINS_GROUP, "b_none", "@hookimpl\ndef model_memory(): return None"),
        write_plugin(hooks.PLUGINS_GROUP, "c_good", "@hookimpl\ndef model_memory(): return 7"),
    )
    with caplog.at_level(logging.ERROR):
        assert [host.hook.model_memory() for _ in range(3)] == [[7]] * 3
    assert len(caplog.records) == 1
    assert states(host)["a_bad"] == "failed"
    assert "KeyError: 'lost'" in host.infos()[0].error


def test_calls_go_by_name_and_heed_tryfirst(write_plugin: Write) -> None:
    source = "@hookimpl{}\ndef model_memory(): return {}"
    host = host_of(
        write_plugin(hooks.PLUGINS_GROUP, "b", source.format("", 2)),
        write_plugin(hooks.PLUGINS_GROUP, "a", source.format("", 1)),
        write_plugin(hooks.PLUGINS_GROUP, "c", source.format("(tryfirst=True)", 0)),
    )
    assert host.hook.model_memory() == [0, 1, 2]


def test_disabled_plugins_are_not_imported(write_plugin: Write) -> None:
    host = host_of(
        write_plugin(hooks.PLUGINS_GROUP, "off", "raise AssertionError"),
        write_plugin(hooks.PLUGINS_GROUP, "on", ""),
        disabled=("off",),
    )
    assert states(host) == {"off": "disabled", "on": "loaded"}


@pytest.mark.parametrize(("only", "loaded"), [("a", ["a"]), (" a , b", ["a", "b"]), ("", [])])
def test_the_environment_limits_what_is_loaded_but_not_what_is_chosen(
    write_plugin: Write, only: str, loaded: list[str]
) -> None:
    host = host_of(
        write_plugin(hooks.STORAGE_GROUP, "disk", STORAGE),
        *(write_plugin(hooks.PLUGINS_GROUP, name, "") for name in "abc"),
        storage="disk",
        environ={"COMFYKERNEL_LOAD_PLUGINS": only},
    )
    assert [info.name for info in host.infos() if info.state == "loaded"] == ["disk", *loaded]


def test_a_choice_that_is_not_installed_lists_what_is(write_plugin: Write) -> None:
    host = host_of(write_plugin(hooks.STORAGE_GROUP, "disk", STORAGE), storage="disc", scheduler="ray")
    with pytest.raises(PluginError, match=r"no storage 'disc'.*Did you mean 'disk'\? Installed: disk\."):
        host.make_storage()
    with pytest.raises(PluginError, match=r"no scheduler 'ray'.*Installed: none\."):
        host.make_scheduler()
    with pytest.raises(PluginError, match="no transport 'http'"):
        host.make_transports()


def test_a_choice_that_failed_says_why(write_plugin: Write) -> None:
    host = host_of(
        write_plugin(hooks.STORAGE_GROUP, "fs", "1 / 0"),
        write_plugin(hooks.SCHEDULERS_GROUP, "local", "@hookimpl\ndef register_schedulers(register): register('x', 1)"),
    )
    with pytest.raises(PluginError, match=r"(?s)storage 'fs' can't be used.*ZeroDivisionError"):
        host.make_storage()
    with pytest.raises(PluginError, match=r"scheduler 'local' can't be used\. It registers x\."):
        host.make_scheduler()


def test_a_choice_that_cannot_be_made_is_marked(write_plugin: Write) -> None:
    source = """
    from comfykernel_sdk.errors import ConfigError
    def fail(settings): raise RuntimeError("no tape")
    def refuse(settings): raise ConfigError("wrong tape")
    @hookimpl
    def register_transports(register): register("{0}", {1})
    """
    host = host_of(
        write_plugin(hooks.TRANSPORTS_GROUP, "fax", source.format("fax", "fail")),
        write_plugin(hooks.TRANSPORTS_GROUP, "telex", source.format("telex", "refuse")),
        transports=("fax", "telex"),
    )
    with pytest.raises(PluginError, match="The transport 'fax' failed to start: no tape"):
        host.make_transports()
    assert states(host) == {"fax": "failed", "telex": "loaded"}
    host.settings.plugins.transports = ("telex",)
    with pytest.raises(ConfigError, match="wrong tape"):
        host.make_transports()


def test_transports_come_in_the_order_of_the_settings(write_plugin: Write) -> None:
    source = "@hookimpl\ndef register_transports(register): register('{0}', lambda settings: '{0} made')"
    host = host_of(
        *(write_plugin(hooks.TRANSPORTS_GROUP, name, source.format(name)) for name in ("http", "mcp")),
        transports=("mcp", "http"),
    )
    assert list(host.make_transports().items()) == [("mcp", "mcp made"), ("http", "http made")]


def test_the_second_of_two_storages_with_one_name_fails(write_plugin: Write) -> None:
    entries = [write_plugin(hooks.STORAGE_GROUP, "disk", STORAGE) for _ in range(2)]
    host = host_of(*entries, storage="disk")
    assert [info.state for info in host.infos()] == ["loaded", "failed"]
    assert host.make_storage() is not None


def test_model_folders_reach_the_storage_and_a_failure_does_not_stop_it(write_plugin: Write) -> None:
    source = "from pathlib import Path\n@hookimpl\ndef register_model_folders(register): register('vae', Path('/v'))"
    host = host_of(
        write_plugin(hooks.STORAGE_GROUP, "disk", STORAGE),
        write_plugin(hooks.PLUGINS_GROUP, "bad", "@hookimpl\ndef register_model_folders(register): register(1)"),
        write_plugin(hooks.PLUGINS_GROUP, "good", source),
        storage="disk",
    )
    storage = host.make_storage()
    assert storage.models.roots == [("vae", Path("/v"))]  # type: ignore[comparison-overlap]
    assert states(host)["bad"] == "failed"


def test_packs_of_a_failing_plugin_are_left_out_and_reported(write_plugin: Write) -> None:
    half = NODES.replace("register(NodePack(", "half_way(register, NodePack(") + HALF_WAY
    host = host_of(
        write_plugin(hooks.NODES_GROUP, "half", half),
        write_plugin(hooks.NODES_GROUP, "unimportable", "1 / 0"),
        side="worker",
    )
    packs = host.node_packs()
    assert [(p.pack.name, list(p.pack.nodes)) for p in packs] == [("half", []), ("unimportable", [])]
    assert "half way" in packs[0].plugin.error
    assert "ZeroDivisionError" in packs[1].plugin.error


def test_packs_come_in_the_configured_order_then_by_name(write_plugin: Write) -> None:
    source = (
        "from comfykernel_sdk.nodes import NodePack\n@hookimpl\ndef register_nodes(register): register(NodePack('{}'))"
    )
    entries = [write_plugin(hooks.NODES_GROUP, name, source.format(name)) for name in ("a", "b", "c")]
    host = host_of(*entries, side="worker", nodes=("c",))
    assert [loaded.pack.name for loaded in host.node_packs()] == ["c", "a", "b"]


def test_two_packs_with_one_name_fail_the_second(write_plugin: Write) -> None:
    entries = [write_plugin(hooks.NODES_GROUP, name, NODES) for name in ("one", "two")]
    host = host_of(*entries, side="worker")
    assert [(p.pack.name, bool(p.plugin.error)) for p in host.node_packs()] == [("greetings", False), ("two", True)]


def test_one_module_in_two_groups_is_loaded_once(write_plugin: Write) -> None:
    entry = write_plugin(hooks.NODES_GROUP, "both", "calls = []\n@hookimpl\ndef model_memory(): return 1")
    host = host_of(entry, EntryPoint("both", entry.value, hooks.PLUGINS_GROUP), side="worker")
    assert [info.state for info in host.infos()] == ["loaded", "loaded"]
    assert host.hook.model_memory() == [1]


def test_hooks_of_a_plugin_are_offered_to_others(write_plugin: Write) -> None:
    offers = """
    import types
    from comfykernel_sdk.hooks import hookspec

    class hookspecs:
        @hookspec
        def register_pages(self, register): ...
    """
    gives = "@hookimpl(optionalhook=True)\ndef register_pages(register): register('about')"
    entry = write_plugin(hooks.PLUGINS_GROUP, "gives", gives)
    host = host_of(write_plugin(hooks.PLUGINS_GROUP, "offers", offers), entry)
    pages: list[str] = []
    host.hook.register_pages(register=pages.append)
    assert pages == ["about"]
    assert host.call_hook("register_pages", register=pages.append) == []
    assert pages == ["about", "about"]
    with pytest.raises(PluginError, match="There is no hook 'register_page'") as raised:
        host.call_hook("register_page", register=pages.append)
    assert "register_pages" in raised.value.hint
    assert states(host_of(entry)) == {"gives": "loaded"}  # also where nobody offers the hook


def test_slow_set_up_is_reported(
    write_plugin: Write, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin_host, "SLOW_SETUP_S", 0.01)
    # The plugin goes on as soon as it has been reported: no guess about how long that takes.
    source = """
    import logging, threading
    seen = threading.Event()
    class Seen(logging.Handler):
        def emit(self, record): seen.set()
    handler = Seen()
    logging.getLogger("comfykernel.plugin_host").addHandler(handler)
    assert seen.wait(30)
    logging.getLogger("comfykernel.plugin_host").removeHandler(handler)
    """
    host = host_of(write_plugin(hooks.PLUGINS_GROUP, "sleepy", source))
    assert "'sleepy' takes more than 0.01 s to load" in caplog.text
    assert host.infos()[0].seconds >= 0.01


def test_what_is_installed_here_is_found() -> None:
    kinds = {(info.kind, info.name) for info in PluginHost(Settings(), side="cli", environ={}).infos()}
    assert {("storage", "fs"), ("transport", "http"), ("scheduler", "local"), ("node", "core")} <= kinds
