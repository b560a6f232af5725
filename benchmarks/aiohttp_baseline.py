"""The bare server: aiohttp giving known answers from memory, with nothing behind them.

``aiohttp_baseline.py PORT FOLDER``: the folder holds ``routes.json``, a list of ``{method, path, body, type}`` in which
``body`` names a file beside it. Pictures are sent as files; the JSON of a request is parsed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler


def answer(file: Path, kind: str) -> Handler:
    content = file.read_bytes()

    async def send_file(request: web.Request) -> web.FileResponse:
        return web.FileResponse(file, headers={"Content-Type": kind})

    async def send_bytes(request: web.Request) -> web.Response:
        if request.can_read_body:
            await request.json()
        return web.Response(body=content, content_type=kind)

    return send_bytes if kind == "application/json" else send_file


def main() -> None:
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    app = web.Application()
    for route in json.loads((folder / "routes.json").read_bytes()):
        app.router.add_route(route["method"], route["path"], answer(folder / route["body"], route["type"]))
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    main()
