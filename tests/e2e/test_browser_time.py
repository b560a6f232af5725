"""A page that never comes to an end costs a test, not the run."""

from __future__ import annotations

import psutil
import pytest

from .browser import needs_browser, open_browser

pytestmark = needs_browser


def test_a_page_that_loops_is_ended_and_told() -> None:
    others = set(psutil.Process().children(recursive=True))
    with pytest.raises(AssertionError, match=r"did not end in 5 s(.|\n)*--type=renderer"), open_browser(5) as browser:
        browser.tab().evaluate("() => { for (;;); }")
    left = set(psutil.Process().children(recursive=True)) - others
    _, alive = psutil.wait_procs(left, timeout=10)
    assert not alive


def test_the_next_browser_is_not_troubled() -> None:
    with open_browser(60) as browser:
        assert browser.tab().evaluate("() => 6 * 7") == 42
