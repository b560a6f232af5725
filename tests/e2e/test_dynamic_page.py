"""The official page in a browser draws inputs that depend on each other, and its prompts run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .browser import needs_browser, open_browser
from .conftest import Server

if TYPE_CHECKING:
    from playwright.sync_api import Page

NAMES = "n.inputs.map((i) => i.name)"
RESIZE = """() => {
    app.graph.clear();
    const n = LiteGraph.createNode('DynamicResize');
    app.graph.add(n);
    const choice = n.widgets.find((w) => w.name === 'how');
    const drawn = {};
    for (const value of choice.options.values) {
        choice.value = value;
        choice.callback?.(value);
        drawn[value] = [n.widgets.map((w) => w.name), n.inputs.map((i) => i.name)];
    }
    return drawn;
}"""
BATCH = """async () => {
    app.graph.clear();
    const add = (type) => { const n = LiteGraph.createNode(type); app.graph.add(n); return n; };
    const slot = (n, name) => n.inputs.findIndex((i) => i.name === name);
    const [batch, show, resize, turn] = ['DynamicBatch', 'DynamicShow', 'DynamicResize', 'DynamicSwitch'].map(add);
    const cards = ['a', 'b', 'c'].map((text) => {
        const n = add('DynamicCard');
        n.widgets[0].value = text;
        return n;
    });
    const grown = [];
    for (const [index, card] of cards.entries()) {
        card.connect(0, batch, slot(batch, `cards.card${index}`));
        grown.push(batch.inputs.filter((i) => i.name.startsWith('cards.')).length);
    }
    const how = resize.widgets.find((w) => w.name === 'how');
    how.value = 'to size';
    how.callback?.('to size');
    resize.widgets.find((w) => w.name === 'how.width').value = 7;
    batch.connect(0, resize, slot(resize, 'value'));
    resize.connect(0, turn, slot(turn, 'on_true'));
    const before = turn.outputs[0].type;
    cards[0].connect(0, turn, slot(turn, 'on_false'));
    turn.widgets.find((w) => w.name === 'use').value = true;
    turn.connect(0, show, 0);
    return { grown, matched: [before, turn.outputs[0].type], prompt: (await app.graphToPrompt()).output };
}"""

pytestmark = needs_browser


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, pack_site: Callable[[str], Path]) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("page"), pack_site("dynamic_nodes"))
    server.start()
    server.wait(lambda: "DynamicShow" in server.http.get("/object_info").text, "the nodes")
    yield server
    server.stop()


@pytest.fixture
def page(served: Server) -> Iterator[Page]:
    """The page in a tab of a browser of its own."""
    with open_browser() as browser:
        yield browser.open(served.url)


def test_each_choice_brings_its_own_fields(page: Page) -> None:
    drawn = page.evaluate(RESIZE)
    assert drawn == {
        "never": [["how"], ["value", "how"]],
        "to size": [["how", "how.width", "how.fill"], ["value", "how", "how.width", "how.fill"]],
        "by factor": [["how", "how.factor"], ["value", "how", "how.factor"]],
        "like others": [["how"], ["value", "how", "how.others.other0", "how.others.other1"]],
    }


def test_a_graph_of_the_page_runs(page: Page, served: Server) -> None:
    made: dict[str, Any] = page.evaluate(BATCH)
    assert made["grown"] == [3, 3, 4], "a slot more when the last is filled"
    assert made["matched"] == ["DYNAMIC_CARD", "DYNAMIC_CARD"]
    (batch,) = [node for node in made["prompt"].values() if node["class_type"] == "DynamicBatch"]
    assert sorted(batch["inputs"]) == ["cards.card0", "cards.card1", "cards.card2"]
    entry = served.history(served.post(made["prompt"]))
    assert entry["status"]["status_str"] == "success", entry["status"]
    assert [shown["text"] for shown in entry["outputs"].values()] == [["a+b+c.."]]
