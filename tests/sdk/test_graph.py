"""Links and the builder of expansions."""

from __future__ import annotations

import pytest

from comfykernel_sdk.graph import GraphBuilder, default_prefix, is_link, links_of


@pytest.mark.parametrize("value", [["1", 0], ["a.b", 3], ["1", 0.0]])
def test_links(value: object) -> None:
    assert is_link(value)


@pytest.mark.parametrize("value", ["1", [], ["1"], [1, 0], ["1", "0"], ["1", True], ["1", 0, 0], ("1", 0), None, {}])
def test_what_is_no_link(value: object) -> None:
    assert not is_link(value)


def test_links_of_a_node() -> None:
    assert links_of({"inputs": {"a": ["1", 0], "b": 5, "c": ["2", 1]}}) == [("a", "1", 0), ("c", "2", 1)]
    assert links_of({}) == links_of({"inputs": None}) == []


def test_a_builder_makes_a_graph() -> None:
    graph = GraphBuilder(prefix="p.")
    first = graph.node("First", value=1, absent=None)
    second = graph.node("Second", "named", link=first.out(2))
    second.set_input("more", 5)
    second.set_input("link2", 1)
    second.set_input("link2", None)
    second.set_override_display_id("9")
    assert graph.lookup_node("named") is second
    assert graph.node("Second", "named") is second
    assert graph.lookup_node("nobody") is None
    assert (second.get_input("more"), second.get_input("nothing")) == (5, None)
    assert graph.finalize() == {
        "p.1": {"class_type": "First", "inputs": {"value": 1}},
        "p.named": {
            "class_type": "Second",
            "inputs": {"link": ["p.1", 2], "more": 5},
            "override_display_id": "9",
        },
    }


def test_prefixes_are_unique_and_the_same_each_time() -> None:
    for _ in range(2):
        token = default_prefix.set(["7", 2, 0])
        assert [GraphBuilder().prefix for _ in range(2)] == ["7.2.0.", "7.2.1."]
        default_prefix.reset(token)
    assert GraphBuilder().prefix == "graph.0."
