"""A browser for tests: headless chromium that finds no host but this machine, and whose time is limited."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections import Counter, deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import psutil
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Request

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
WAIT_S: Final = 90.0
"""Seconds that a page has for each thing it is asked for; it takes a tenth of that alone."""
BROWSER_S: Final = 300.0
"""Seconds after which a browser is killed, whatever it does."""
POLL_MS: Final = 200
"""Between two looks at a page. Looking at each frame keeps a page drawing, and the machine busy."""
LOADED: Final = "() => window.app?.graph && Object.keys(LiteGraph.registered_node_types).length > 20"

needs_browser = [
    pytest.mark.e2e,
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
]
"""Marks of a test that opens a browser."""


class Browser:
    """One context of one browser process, with an account of what its tabs asked for."""

    def __init__(self, context: BrowserContext, processes: Processes) -> None:
        self.context = context
        self._processes = processes
        self._asked: Counter[str] = Counter()
        self._said: deque[str] = deque(maxlen=10)
        context.on("request", self._note)
        context.on("console", lambda line: self._said.append(f"{line.type}: {line.text[:200]}"))

    def tab(self) -> Page:
        """A new tab."""
        return self.context.new_page()

    def open(self, url: str) -> Page:
        """A tab in which the page of a server stands ready."""
        tab = self.tab()
        tab.goto(url, wait_until="domcontentloaded")
        self.wait(tab, LOADED)
        return tab

    def wait(self, tab: Page, condition: str) -> None:
        """Wait until a function of JavaScript gives something true.

        Raises AssertionError, with an account of the browser, when it does not within `WAIT_S`.
        """
        from playwright.sync_api import TimeoutError as TooLate

        try:
            tab.wait_for_function(condition, timeout=WAIT_S * 1000, polling=POLL_MS)
        except TooLate:
            raise AssertionError(f"waited in vain for {condition}\n{self.account()}") from None

    def account(self) -> str:
        """What keeps the browser busy: its processes, what was asked for most often, the last lines of the console."""
        asked = [f"  {count} x {url}" for url, count in self._asked.most_common(10)]
        lines = ["processes:", *self._processes.account(), "asked for:", *asked, "console:", *self._said]
        return "\n".join(lines)

    def _note(self, request: Request) -> None:
        self._asked[urlsplit(request.url)._replace(query="").geturl()[:150]] += 1


class Processes:
    """The processes of a browser and of what drives it. They are killed when their time is up."""

    def __init__(self, driver: psutil.Process, seconds: float) -> None:
        self._driver = driver
        self._timer = threading.Timer(seconds, self._kill)
        self._timer.daemon = True
        self._timer.start()
        self.killed = ""
        """What they were doing when they were killed."""

    def account(self) -> list[str]:
        """A line for each process with the CPU time that it has taken."""
        lines = []
        for process in self._all():
            with contextlib.suppress(psutil.Error):
                kind = next((part for part in process.cmdline() if part.startswith("--type=")), "")
                times = process.cpu_times()
                lines.append(f"  {process.name()} {kind} {times.user + times.system:.0f} s of CPU")
        return lines

    def release(self) -> None:
        """They ended by themselves."""
        self._timer.cancel()

    def _all(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return [self._driver, *self._driver.children(recursive=True)]
        return []

    def _kill(self) -> None:
        self.killed = "\n".join(self.account())
        for process in self._all():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


@contextlib.contextmanager
def open_browser(seconds: float = BROWSER_S) -> Iterator[Browser]:
    """A browser with an empty profile, closed at the end.

    After `seconds` it is killed with all that belongs to it: what waits for it then raises, though a page or the
    driver loops. Raises AssertionError that says so.
    """
    sync_api = pytest.importorskip("playwright.sync_api")
    others = set(psutil.Process().children())
    with sync_api.sync_playwright() as playwright:
        (driver,) = set(psutil.Process().children()) - others
        processes = Processes(driver, seconds)
        try:
            chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            context = chromium.new_context(viewport={"width": 1400, "height": 900}, reduced_motion="reduce")
            context.set_default_timeout(WAIT_S * 1000)
            yield Browser(context, processes)
            chromium.close()
        except sync_api.Error as error:
            if processes.killed:
                raise AssertionError(f"the browser did not end in {seconds:g} s\n{processes.killed}") from error
            raise
        finally:
            processes.release()
