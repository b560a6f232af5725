"""What a worker prints becomes whole lines whatever pieces it comes in."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from comfykernel_scheduler_local.output_lines import MAX_LINE, OutputLines


async def read(pieces: list[bytes]) -> list[str]:
    lines: list[str] = []
    reader = OutputLines(lines.extend)
    for piece in pieces:
        reader.data_received(piece)
    reader.connection_lost(None)
    assert reader.closed.done()
    return lines


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))), st.data())
def test_pieces_do_not_matter(texts: list[str], data: st.DataObject) -> None:
    whole = "".join(f"{text}\n" for text in texts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert asyncio.run(read(pieces)) == texts


async def test_a_progress_bar_comes_once() -> None:
    assert await read([b"a\n 10%", b"\r 50%\r", b"100%\r\nend\r\n"]) == ["a", "100%", "end"]


async def test_lines_are_cut_and_odd_bytes_replaced() -> None:
    lines = await read([b"x" * 5 * MAX_LINE, b"y\n", b"\xff\n", b"no end"])
    assert lines == ["x" * MAX_LINE, "\ufffd", "no end"]
