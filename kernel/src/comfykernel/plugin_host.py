"""Finds, chooses, loads and calls plugins, each apart from the others.

Entry points are chosen by group and name before anything is imported. A plugin that fails to import or in a hook is
marked with its traceback and the others go on; with ``plugins.strict`` its error is raised. Hooks are called one
plugin at a time for that reason, in the order of their names; pluggy's ``tryfirst`` and ``trylast`` hold, wrappers
and ``firstresult`` are not supported. What fails at a moment (``on_event``) is called again at the next one.

A plugin that offers hooks of its own to others names their specifications in an attribute ``hookspecs`` (a module or
class); others implement them with ``@hookimpl(optionalhook=True)``, as they may run where the offering plugin does not.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar

import msgspec
import pluggy

from comfykernel_sdk import hooks
from comfykernel_sdk.errors import ComfykernelError, NodeDefinitionError, PluginError
from comfykernel_sdk.nodes import NodePack
from comfykernel_sdk.transport import PluginInfo

from .near_miss import did_you_mean, known_or_near

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from comfykernel_sdk.json_types import Json
    from comfykernel_sdk.scheduler import Scheduler, SchedulerFactory
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.storage import Storage, StorageFactory
    from comfykernel_sdk.transport import Transport, TransportFactory

Side: TypeAlias = Literal["server", "worker", "cli"]
F = TypeVar("F")
T = TypeVar("T")

SLOW_SETUP_S: Final = 10.0
"""Seconds after which a plugin that still loads or starts is named in the log."""
ONLY_VARIABLE: Final = "COMFYKERNEL_LOAD_PLUGINS"
"""Names of plugins or distributions with commas: no other node packs and listeners are loaded (empty: none)."""

KINDS: Final = {group: group.removeprefix("comfykernel.").removesuffix("s") for group in hooks.GROUPS} | {
    hooks.MODEL_FAMILIES_GROUP: "model family"
}
"""Group -> the word for people: ``node``, ``storage``, ``transport``, ``scheduler``, ``plugin``, ``model family``."""
GROUPS_OF_SIDE: Final[dict[Side, tuple[str, ...]]] = {
    "server": (hooks.STORAGE_GROUP, hooks.TRANSPORTS_GROUP, hooks.SCHEDULERS_GROUP, hooks.PLUGINS_GROUP),
    "worker": (hooks.STORAGE_GROUP, hooks.NODES_GROUP, hooks.MODEL_FAMILIES_GROUP, hooks.PLUGINS_GROUP),
    "cli": (hooks.PLUGINS_GROUP,),
}

_log = logging.getLogger(__name__)


class LoadedPack(msgspec.Struct, frozen=True):
    """A node pack and the plugin it came from. When that has failed the pack is empty."""

    pack: NodePack
    plugin: PluginInfo


class _Plugin:
    """One entry point on its way from found to started."""

    def __init__(self, entry: EntryPoint) -> None:
        self.entry = entry
        self.object: object = None
        distribution, version = (entry.dist.name, entry.dist.version) if entry.dist else ("", "")
        self.info = PluginInfo(name=entry.name, kind=KINDS[entry.group], distribution=distribution, version=version)
        self._logged: set[tuple[str, type[BaseException]]] = set()

    def fail(self, error: BaseException, *, doing: str) -> None:
        """Mark as failed; an error of the same type at the same place is logged only once."""
        self.info.state = "failed"
        own_frame = error.__traceback__
        below = own_frame.tb_next if own_frame is not None else None
        self.info.error = "".join(traceback.format_exception(type(error), error, below))
        if (doing, type(error)) not in self._logged:
            self._logged.add((doing, type(error)))
            text = "The %s plugin %r (%s) failed %s; everything else goes on.\n%s"
            _log.error(text, self.info.kind, self.info.name, self.info.distribution, doing, self.info.error)


class GuardedHook:
    """Calls the implementations of one hook one by one; returns what they return, ``None`` left out."""

    def __init__(self, host: PluginHost, name: str, caller: pluggy.HookCaller) -> None:
        self._host, self._name, self._caller = host, name, caller

    def __call__(self, **arguments: object) -> list[object]:
        """Call with keyword arguments; an implementation gets those that it asks for."""
        results = [self.call(plugin, implementation, arguments) for plugin, implementation in self.implementations()]
        return [result for result in results if result is not None]

    def implementations(self) -> list[tuple[_Plugin, pluggy.HookImpl]]:
        """Who implements the hook, in the order of the calls."""
        return [(self._host.plugin_of(i.plugin), i) for i in reversed(self._caller.get_hookimpls())]

    def call(self, plugin: _Plugin, implementation: pluggy.HookImpl, arguments: Mapping[str, object]) -> object:
        """Call one implementation; ``None`` when it fails."""
        results: list[object] = []
        with self._host.guard(plugin, doing=f"in {self._name}"):
            results.append(implementation.function(*(arguments[name] for name in implementation.argnames)))
        return results[0] if results else None


class GuardedHooks:
    """``host.hook.on_event(event=...)``: every hook by its name."""

    def __init__(self, host: PluginHost, manager: pluggy.PluginManager) -> None:
        self._host, self._manager = host, manager

    def __getattr__(self, name: str) -> GuardedHook:
        caller = getattr(self._manager.hook, name)
        guarded = self.__dict__[name] = GuardedHook(self._host, name, caller)
        return guarded


class PluginHost:
    """The plugins of one process.

    Args:
        settings: choose storage, scheduler and transports by name and name the disabled ones.
        side: decides which groups are loaded (see :mod:`comfykernel_sdk.hooks`).
        entry_points: what is installed; ``None``: all distributions of this environment.
        environ: read for ``COMFYKERNEL_LOAD_PLUGINS``; ``None``: the environment of this process.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        side: Side,
        entry_points: Iterable[EntryPoint] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.settings = settings
        self.side: Side = side
        self.storages: dict[str, StorageFactory] = {}
        self.transports: dict[str, TransportFactory] = {}
        self.schedulers: dict[str, SchedulerFactory] = {}
        self._only = (os.environ if environ is None else environ).get(ONLY_VARIABLE)
        self._manager = pluggy.PluginManager(hooks.PROJECT)
        self._manager.add_hookspecs(hooks)
        self.hook = GuardedHooks(self, self._manager)
        self._plugins = _find(entry_points)
        self._by_object: dict[int, _Plugin] = {}
        self._packs: list[LoadedPack] | None = None

    def load(self) -> None:
        """Import what is chosen, connect its hooks and collect storages, transports and schedulers.

        Raises:
            PluginError: with ``plugins.strict``, when a plugin fails.
        """
        chosen = [plugin for plugin in self._plugins if self._is_chosen(plugin)]
        for plugin in chosen:
            with self.guard(plugin, doing="to load"):
                plugin.object = plugin.entry.load()
                if specifications := getattr(plugin.object, "hookspecs", None):
                    self._manager.add_hookspecs(specifications)
        # pluggy calls what was registered last first.
        for plugin in reversed(chosen):
            if plugin.info.state != "failed":
                with self.guard(plugin, doing="to connect its hooks"):
                    self._connect(plugin)
        self._collect(self.hook.register_storage, self.storages)
        self._collect(self.hook.register_transports, self.transports)
        self._collect(self.hook.register_schedulers, self.schedulers)

    def infos(self) -> list[PluginInfo]:
        """Every plugin that is installed, chosen or not, by kind and name."""
        return [plugin.info for plugin in self._plugins]

    def call_hook(self, name: str, **arguments: object) -> list[object]:
        """Call a hook by its name in every plugin that implements it; what they return, ``None`` left out.

        Raises:
            PluginError: nobody offers such a hook.
        """
        try:
            hook: GuardedHook = getattr(self.hook, name)
        except AttributeError:
            raise PluginError(f"There is no hook {name!r}.", hint=did_you_mean(name, self._known_hooks())) from None
        return hook(**arguments)

    def make_storage(self) -> Storage:
        """The storage named by ``plugins.storage``, with the model folders of all plugins.

        Raises:
            PluginError: it is not installed, failed to load or can't be made.
        """
        storage = self._make(hooks.STORAGE_GROUP, self.settings.plugins.storage, self.storages)
        self.hook.register_model_folders(register=storage.models.add_root, settings=self.settings)
        return storage

    def make_scheduler(self) -> Scheduler:
        """The scheduler named by ``plugins.scheduler``.

        Raises:
            PluginError: it is not installed, failed to load or can't be made.
        """
        return self._make(hooks.SCHEDULERS_GROUP, self.settings.plugins.scheduler, self.schedulers)

    def make_transports(self) -> dict[str, Transport]:
        """The transports named by ``plugins.transports``, in that order.

        Raises:
            PluginError: one is not installed, failed to load or can't be made.
        """
        names = self.settings.plugins.transports
        return {name: self._make(hooks.TRANSPORTS_GROUP, name, self.transports) for name in names}

    def node_packs(self, storage: Storage | None = None) -> list[LoadedPack]:
        """The node packs of a worker: those of ``plugins.nodes`` in that order, then the others by name.

        A pack is known by its own name, the name of its plugin and that of its distribution. The first call lets
        the plugins import their nodes, which will run with this storage.
        """
        if self._packs is None:
            self._packs = self._collect_packs(storage)
            self.hook.wrap_nodes(packs=[loaded.pack for loaded in self._packs])
        return self._packs

    def mark_started(self) -> None:
        """Everything that was loaded has been set up."""
        for plugin in self._plugins:
            if plugin.info.state == "loaded":
                plugin.info.state = "started"

    @contextlib.contextmanager
    def guard(self, plugin: _Plugin, *, doing: str) -> Iterator[None]:
        """Keep what goes wrong inside with the plugin, and name it in the log when it takes long.

        Raises:
            PluginError: with ``plugins.strict``, from the plugin's error.
        """
        begun = time.perf_counter()
        setting_up = plugin.info.state in ("found", "loaded")
        slow = self._watch(plugin, doing) if setting_up else None
        try:
            yield
        except (Exception, SystemExit) as error:
            plugin.fail(error, doing=doing)
            if self.settings.plugins.strict:
                text = f"Plugin {plugin.info.name!r} failed {doing}: {error}"
                raise PluginError(text, details=plugin.info.error) from error
        finally:
            if slow is not None:
                slow.cancel()
                plugin.info.seconds += time.perf_counter() - begun

    def plugin_of(self, found: object) -> _Plugin:
        """The plugin whose object this is."""
        return self._by_object[id(found)]

    def _watch(self, plugin: _Plugin, doing: str) -> threading.Timer:
        text = "Plugin %r takes more than %g s %s; whoever waits for it waits on."
        timer = threading.Timer(SLOW_SETUP_S, _log.warning, (text, plugin.info.name, SLOW_SETUP_S, doing))
        timer.daemon = True
        timer.start()
        return timer

    def _is_chosen(self, plugin: _Plugin) -> bool:
        """Whether this process loads it; notes those that are switched off."""
        wanted = self.settings.plugins
        group, names = plugin.entry.group, {plugin.info.name, plugin.info.distribution}
        by_choice: dict[str, tuple[str, ...]] = {
            hooks.STORAGE_GROUP: (wanted.storage,),
            hooks.SCHEDULERS_GROUP: (wanted.scheduler,),
            hooks.TRANSPORTS_GROUP: wanted.transports,
        }
        if group in by_choice:
            return group in GROUPS_OF_SIDE[self.side] and plugin.info.name in by_choice[group]
        only = None if self._only is None else {part.strip() for part in self._only.split(",")} - {""}
        if names & set(wanted.disabled) or (only is not None and not names & only):
            plugin.info.state = "disabled"
            return False
        return group in GROUPS_OF_SIDE[self.side]

    def _connect(self, plugin: _Plugin) -> None:
        plugin.info.hooks = self._hooks_of(plugin.object)
        if id(plugin.object) not in self._by_object:
            self._by_object[id(plugin.object)] = plugin
            try:
                self._manager.register(
                    plugin.object, name=f"{plugin.entry.group}:{plugin.info.name}:{plugin.entry.value}"
                )
            except BaseException:
                if self._manager.is_registered(plugin.object):
                    self._manager.unregister(plugin.object)
                raise
        plugin.info.state = "loaded"

    def _known_hooks(self) -> list[str]:
        return [name for name, caller in vars(self._manager.hook).items() if caller.has_spec()]

    def _hooks_of(self, found: object) -> list[str]:
        """Names of the hooks that an object implements.

        Raises:
            PluginError: one is no hook, or a wrapper.
        """
        names = []
        known = self._known_hooks()
        for name in dir(found):
            options = self._manager.parse_hookimpl_opts(found, name)
            if options is None:
                continue
            hook = options["specname"] or name
            if hook not in known and not options["optionalhook"]:
                raise PluginError(f"There is no hook {hook!r}.", hint=did_you_mean(hook, known))
            if options["wrapper"] or options["hookwrapper"]:
                raise PluginError(f"{hook}: wrappers of hooks are not supported.")
            names.append(hook)
        return names

    def _collect(self, hook: GuardedHook, into: dict[str, F]) -> None:
        """Call a ``register_...`` hook; a name that is given twice fails the plugin that comes second."""
        givers: dict[str, str] = {}
        for plugin, implementation in hook.implementations():

            def register(name: str, factory: F, *, giver: str = plugin.info.distribution) -> None:
                if name in into:
                    raise PluginError(f"{name!r} is given by {givers[name]} and by {giver}: the first one is used.")
                into[name], givers[name] = factory, giver

            hook.call(plugin, implementation, {"register": register})

    def _make(self, group: str, name: str, factories: Mapping[str, Callable[[Settings], T]]) -> T:
        kind, plugins = KINDS[group], {p.info.name: p for p in reversed(self._plugins) if p.entry.group == group}
        extra: dict[str, Json] = {"kind": kind, "name": name}
        if name not in plugins:
            hint = known_or_near(name, plugins, what="Installed")
            raise PluginError(f"There is no {kind} {name!r}.", hint=hint, extra_info=extra)
        plugin = plugins[name]
        if name not in factories:
            text = plugin.info.error or f"It registers {', '.join(factories) or 'nothing'}."
            raise PluginError(f"The {kind} {name!r} can't be used.", details=text, extra_info=extra)
        try:
            return factories[name](self.settings)
        except ComfykernelError:
            raise  # says by itself what is wrong, mostly a setting
        except Exception as error:
            plugin.fail(error, doing="to start")
            raise PluginError(f"The {kind} {name!r} failed to start: {error}", extra_info=extra) from error

    def _collect_packs(self, storage: Storage | None) -> list[LoadedPack]:
        found: dict[str, LoadedPack] = {}
        for plugin, implementation in self.hook.register_nodes.implementations():
            packs = self._packs_of(plugin, implementation, storage, taken=found.keys())
            found |= {pack.name: LoadedPack(pack, plugin.info) for pack in packs}
        failed = [p.info for p in self._plugins if p.entry.group == hooks.NODES_GROUP and p.info.state == "failed"]
        order = {name: place for place, name in enumerate(self.settings.plugins.nodes)}

        def place(loaded: LoadedPack) -> tuple[int, bool, str]:
            pack, plugin = loaded.pack, loaded.plugin
            rank = min(order.get(name, len(order)) for name in (pack.name, plugin.name, plugin.distribution))
            return rank, pack.yields, pack.name

        return sorted([*found.values(), *(LoadedPack(NodePack(info.name), info) for info in failed)], key=place)

    def _packs_of(
        self, plugin: _Plugin, implementation: pluggy.HookImpl, storage: Storage | None, *, taken: Collection[str]
    ) -> list[NodePack]:
        """All packs of one plugin or, when it fails, none."""
        packs: dict[str, NodePack] = {}

        def register(pack: NodePack) -> None:
            if pack.name in taken or pack.name in packs:
                raise NodeDefinitionError(f"The name {pack.name!r} of a node pack is taken.")
            packs[pack.name] = pack

        arguments = {"register": register, "settings": self.settings, "storage": storage}
        self.hook.register_nodes.call(plugin, implementation, arguments)
        return [] if plugin.info.state == "failed" else list(packs.values())


def _find(entry_points: Iterable[EntryPoint] | None) -> list[_Plugin]:
    if entry_points is None:
        installed = importlib.metadata.entry_points()
        entry_points = [entry for group in hooks.GROUPS for entry in installed.select(group=group)]
    plugins = [_Plugin(entry) for entry in entry_points if entry.group in hooks.GROUPS]
    return sorted(plugins, key=lambda p: (hooks.GROUPS.index(p.entry.group), p.info.name, p.info.distribution))
