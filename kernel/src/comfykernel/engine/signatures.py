"""Content signatures: two nodes with the same signature give the same outputs.

A signature is a hash of the class and its version, the constants, the change token and, for each link, the signature
of the node it comes from with the output's index. Node ids do not count, except for nodes that are told theirs.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
from inspect import isawaitable
from typing import TYPE_CHECKING, Final

import msgspec

from .context import RunContext, current_node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from comfykernel_sdk.json_types import Json

    from .context import RunServices
    from .run_graph import RunGraph, Vertex

log = logging.getLogger(__name__)

SIZE: Final = 16
"""Bytes of a signature."""


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} has no content signature")


_encoder = msgspec.msgpack.Encoder(enc_hook=_refuse, order="deterministic")


def unique_signature() -> bytes:
    """A signature that no other node has: the node runs each time."""
    return os.urandom(SIZE)


async def sign(services: RunServices, added: Iterable[Vertex], instance_of: Callable[[Vertex], object]) -> None:
    """Set the signatures of these vertices; asks their fingerprints and notes the answers in the graph."""
    graph, tokens = services.graph, dict[str, object]()
    added = list(added)
    for vertex in added:
        if vertex.node_class.definition.fingerprint is not None:
            tokens[vertex.id] = await _change_token(services, vertex, instance_of)
    for vertex in added:
        if not vertex.signature:
            _sign_with_sources(graph, vertex, tokens)


def _sign_with_sources(graph: RunGraph, vertex: Vertex, tokens: dict[str, object]) -> None:
    """Depth first without recursion: chains may be longer than Python's stack."""
    stack = [vertex]
    open_ids: set[str] = set()
    while stack:
        top = stack[-1]
        if top.signature:
            stack.pop()
            continue
        sources = [graph.vertices.get(id) for id in top.sources]
        unsigned = [s for s in sources if s is not None and not s.signature]
        if None in sources or any(s.id in open_ids for s in unsigned):
            top.signature = unique_signature()
        elif unsigned:
            open_ids.add(top.id)
            stack.extend(unsigned)
        else:
            top.signature = _signature(graph, top, tokens.get(top.id))
            stack.pop()


def _signature(graph: RunGraph, vertex: Vertex, token: object) -> bytes:
    node_class = vertex.node_class
    if node_class.spec.volatile or (isinstance(token, float) and math.isnan(token)):
        return unique_signature()
    links = [(name, index, graph.vertices[source].signature) for name, source, index in vertex.links]
    links.sort()
    raw = [graph.vertices[source].signature for source in vertex.strong] if node_class.raw else ()
    own_id = vertex.id if node_class.knows_its_id else None
    content = (node_class.in_signature, own_id, token, vertex.constants, links, raw)
    try:
        return hashlib.blake2b(_encoder.encode(content), digest_size=SIZE).digest()
    except (TypeError, ValueError, OverflowError):
        # An object that an expansion put into its graph.
        return unique_signature()


async def _change_token(services: RunServices, vertex: Vertex, instance_of: Callable[[Vertex], object]) -> object:
    """What the node's fingerprint says; NaN when it fails. Only constants are known to it, links arrive as None."""
    node_class = vertex.node_class
    function = node_class.definition.fingerprint
    assert function is not None
    known: dict[str, object] = {name: values[0] for name, values in vertex.constants.items()}
    known.update((name, None) for name, _, _ in vertex.links)
    for name, kind in node_class.hidden:
        known[name] = vertex.id if kind == "UNIQUE_ID" else None
    if node_class.spec.input_is_list:
        known = {name: [value] for name, value in known.items()}
    takes = node_class.fingerprint_takes
    known = {name: value for name, value in known.items() if takes is None or name in takes}
    try:
        with current_node(RunContext(services, vertex.place)):
            answer = function(instance_of(vertex), **known)
        token: object = await answer if isawaitable(answer) else answer
    except Exception as error:  # noqa: BLE001 - the code of a node pack
        log.warning("The fingerprint of node %s (%s) failed, it runs again: %r", vertex.id, node_class.id, error)
        return math.nan
    services.graph.record_change(vertex.id, [_as_json(token)])
    return token


def _as_json(token: object) -> Json:
    """A change token as it stands in the prompt that nodes save."""
    if isinstance(token, bytes):
        return token.hex()
    return token if isinstance(token, (str, int, float, list, dict, type(None))) else repr(token)
