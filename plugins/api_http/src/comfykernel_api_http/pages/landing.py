"""The page at the root: what the server is, what is installed, how to submit."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import TYPE_CHECKING, Final

from .page import card, render_page, resource, table

if TYPE_CHECKING:
    from comfykernel_sdk.scheduler import WorkerStatus
    from comfykernel_sdk.transport import Kernel, PluginInfo

    from ..services import Services

GOOD: Final = frozenset({"idle", "busy", "loaded", "started"})
BAD: Final = frozenset({"failed"})


def render_landing(services: Services) -> str:
    """The whole page."""
    kernel = services.kernel
    address = services.addresses[0] if services.addresses else ""
    body = _head(kernel, address) + _workers(kernel.workers()) + _how_to_submit(address)
    body += _nodes(kernel) + _plugins(kernel.plugins())
    return render_page("comfykernel", body, script=resource("landing.js"))


def _head(kernel: Kernel, address: str) -> str:
    return (
        '<div class="head"><div><h1>comfykernel</h1>'
        f'<p class="soft">Version {escape(kernel.version)} at <code>{escape(address)}</code>. '
        "A plugin-oriented microkernel that speaks the ComfyUI API.</p></div>"
        f'<div class="queue"><strong id="remaining">{kernel.queue_remaining()}</strong>'
        '<span class="soft" id="live">prompts wait or run</span></div></div>'
    )


def _state(state: str) -> str:
    colour = "good" if state in GOOD else "bad" if state in BAD else "warm"
    return f'<span class="state {colour}">{escape(state)}</span>'


def _workers(workers: list[WorkerStatus]) -> str:
    if not workers:
        return card("Workers", '<p class="warm">No worker has reported yet. Prompts wait until one is ready.</p>')
    rows = [
        [
            f"<code>{escape(worker.name)}</code>",
            escape(worker.device.name),
            _state(worker.state),
            _size(worker.device.vram_total),
            _details(worker.error) or (escape(f"{worker.restarts} restarts") if worker.restarts else ""),
        ]
        for worker in workers
    ]
    return card("Workers", table(["Worker", "Device", "State", "Memory", ""], rows))


def _how_to_submit(address: str) -> str:
    command = (
        f"curl -s {address}/prompt -H 'Content-Type: application/json' \\\n"
        '  -d "{\\"prompt\\": $(cat examples/workflows/text_to_image.json)}"\n\n'
        f"curl -s {address}/history/PROMPT_ID      # the outcome, once it has ended\n"
        f"curl -s '{address}/view?filename=NAME.png' -o NAME.png"
    )
    text = (
        "<p>Any client of the ComfyUI API works here. A workflow in API format is submitted like this; "
        "progress comes over the WebSocket <code>/ws?clientId=ID</code>.</p>"
    )
    links = (
        '<p class="soft"><a href="/object_info">Nodes</a> · <a href="/queue">Queue</a> · '
        '<a href="/history">History</a> · <a href="/system_stats">System</a> · <a href="/models">Models</a> · '
        '<a href="/schema">API</a></p>'
    )
    return card("How to submit", f"{text}<pre>{escape(command)}</pre>{links}")


def _nodes(kernel: Kernel) -> str:
    packs = Counter(spec.distribution or spec.python_module for spec in kernel.node_specs().values())
    if not packs:
        return card("Nodes", '<p class="warm">The first worker is still loading the nodes.</p>')
    rows = [[f"<code>{escape(pack)}</code>", str(count)] for pack, count in sorted(packs.items())]
    return card(f"Nodes: {packs.total()}", table(["Pack", "Nodes"], rows))


def _plugins(plugins: list[PluginInfo]) -> str:
    rows = [
        [
            f"<code>{escape(plugin.name)}</code>",
            escape(plugin.kind),
            escape(f"{plugin.distribution} {plugin.version}".strip()),
            _state(plugin.state) + _details(plugin.error),
        ]
        for plugin in plugins
    ]
    return card("Plugins", table(["Name", "Kind", "Distribution", "State"], rows))


def _details(error: str) -> str:
    if not error:
        return ""
    reason = error.strip().splitlines()[-1]
    return f"<details><summary>{escape(reason)}</summary><pre>{escape(error)}</pre></details>"


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count else ""
