"""Inputs of subgraphs that end at widgets, and the values that an instance has for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from .widgets import is_widget, read_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from comfykernel_sdk.json_types import Json
    from comfykernel_sdk.nodes import NodeSpec

    from .document import Drawn, Part
    from .scopes import Scope

Names: TypeAlias = "dict[str, None]"
"""Names in order, each once."""

PROXIES: Final = "proxyWidgets"
OWN_WIDGET: Final = "-1"
"""Stands for the instance itself where such a pair has the id of an inner node."""


def promoted_inputs(definitions: Mapping[str, Part], specs: Mapping[str, NodeSpec]) -> dict[str, Names]:
    """Definition -> names of its inputs that end at a widget, directly or through further instances, in order."""
    promoted: dict[str, Names] = {}
    for id in _inner_first(definitions):
        part = definitions[id]
        ends: set[int] = set()
        for link in part.links.values():
            target = part.nodes.get(link.target) if link.origin == part.input_node else None
            if target is not None and _is_widget_slot(target, link.target_slot, promoted, specs):
                ends.add(link.origin_slot)
        if part.promoted is not None:
            promoted[id] = {spec.name: None for spec in part.promoted}
            continue
        promoted[id] = {port.name: None for index, port in enumerate(part.inputs) if index in ends}
    return promoted


class ShownValues:
    """The values that instances show in place of those of their inner nodes.

    Attributes:
        own: scope of an instance -> its values by the name of the input; what it does not have is left to the nodes.
        inner: the same scope -> id of a node inside -> values of that node's widgets.
    """

    def __init__(self, scopes: Iterable[Scope], promoted: Mapping[str, Names]) -> None:
        self.own: dict[Scope, dict[str, Json]] = {}
        self.inner: dict[Scope, dict[str, dict[str, Json]]] = {}
        for scope in scopes:  # each before those inside it
            if scope.node is not None and scope.parent is not None:
                self.own[scope] = self._values(scope, scope.node, promoted[scope.node.type])
                self.own[scope] |= self.inner.get(scope.parent, {}).get(scope.node.key, {})

    def _values(self, scope: Scope, node: Drawn, promoted: Names) -> dict[str, Json]:
        if scope.part.promoted is not None:
            return {each.name: each.value for each in read_values(scope.part.promoted, node)}
        named = node.widgets_values_named
        if named is None and isinstance(node.widgets_values, dict):
            named = node.widgets_values
        if named is None:
            listed = node.widgets_values if isinstance(node.widgets_values, list) else []
            named = dict(zip(promoted, listed, strict=False)) | self._proxied(scope, node, listed)
        return {name: named[name] for name in promoted if named.get(name) is not None}

    def _proxied(self, scope: Scope, node: Drawn, values: list[Json]) -> dict[str, Json]:
        """What is listed in the order of the property ``proxyWidgets``: pairs of an inner node's id and a widget."""
        proxies = (node.properties or {}).get(PROXIES)
        own: dict[str, Json] = {}
        for proxy, value in zip(proxies if isinstance(proxies, list) else (), values, strict=False):
            if value is None or not isinstance(proxy, list) or len(proxy) < 2:
                continue
            inner, name = str(proxy[0]), str(proxy[1])
            if inner == OWN_WIDGET:
                own[name] = value
            else:
                self.inner.setdefault(scope, {}).setdefault(inner, {})[name] = value
        return own


def _inner_first(definitions: Mapping[str, Part]) -> Iterator[str]:
    """Ids of all definitions, those used inside one before it; one that contains itself at any place."""
    begun: set[str] = set()
    for id in definitions:
        waiting = [] if id in begun else [(id, _used(id, definitions))]
        begun.add(id)
        while waiting:
            current, used = waiting[-1]
            following = next((each for each in used if each not in begun), None)
            if following is None:
                yield current
                waiting.pop()
            else:
                begun.add(following)
                waiting.append((following, _used(following, definitions)))


def _used(id: str, definitions: Mapping[str, Part]) -> Iterator[str]:
    return (node.type for node in definitions[id].nodes.values() if node.type in definitions)


def _is_widget_slot(node: Drawn, index: int, promoted: Mapping[str, Names], specs: Mapping[str, NodeSpec]) -> bool:
    slots = node.inputs or []
    if not 0 <= index < len(slots):
        return False
    slot = slots[index]
    if node.type in promoted:
        return slot.input_name in promoted[node.type]
    if slot.widget is not None:
        return True
    spec = specs.get(node.type)
    declared = spec.input(slot.input_name) if spec is not None else None
    return declared is not None and is_widget(declared)
