"""The frame of every page."""

from __future__ import annotations

from functools import cache
from html import escape
from importlib.resources import files


def render_page(title: str, body: str, *, script: str = "") -> str:
    """A whole document; ``body`` is HTML."""
    tail = f"<script>{script}</script>" if script else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{resource("style.css")}</style></head>'
        f"<body><main>{body}</main>{tail}</body></html>"
    )


@cache
def resource(name: str) -> str:
    """A text file of this package."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def table(headings: list[str], rows: list[list[str]]) -> str:
    """A table; headings are text, cells are HTML."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


def card(heading: str, content: str) -> str:
    """A box with a heading; ``content`` is HTML."""
    return f'<section class="card"><h2>{escape(heading)}</h2>{content}</section>'
