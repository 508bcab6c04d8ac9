"""Text made from templates: the platform's own HTML pages. The only module that imports Jinja."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from paas.adapters.caddy_layout import UNKNOWN_HOST
from paas.ports import Page

UNREACHED, FAILING, SLOW, HELD, OTHER = "unreached", "failing", "slow", "held", "other"


@dataclass(frozen=True)
class PageText:
    """One page: HTTP status (RFC 9110), words, and seconds for `Retry-After` (0: none)."""

    status: int
    title: str
    text: str
    retry_after: int = 0


PAGES: dict[str, PageText] = {
    Page.NO_RELEASE: PageText(503, "Nothing here yet", "This app exists, but nothing has been deployed to it.", 30),
    Page.STOPPED: PageText(503, "This app is stopped", "Its owner has stopped it. It may be back later.", 300),
    Page.MAINTENANCE: PageText(503, "Back soon", "This app is being worked on. Try again in a few minutes.", 120),
    UNKNOWN_HOST: PageText(404, "No such site", "No app on this server has this name. Check the address for a typo."),
    UNREACHED: PageText(503, "This app does not answer", "The app is not running, or it is just starting.", 10),
    FAILING: PageText(502, "This app does not answer", "The app broke off the connection.", 10),
    SLOW: PageText(504, "This app takes too long", "The app took the request but sent no answer in time."),
    HELD: PageText(503, "This app is starting", "It takes longer than expected. Please try again in a moment.", 10),
    OTHER: PageText(500, "That did not work", "The server could not handle this request."),
}


@cache
def environment() -> Environment:
    return Environment(loader=FileSystemLoader(Path(__file__).with_suffix("")), undefined=StrictUndefined,
                       autoescape=True, trim_blocks=True, lstrip_blocks=True)


@cache
def page_html(name: str) -> str:
    """A whole, self-contained HTML document (no script, nothing loaded from elsewhere)."""
    return environment().get_template("page.html.j2").render(page=PAGES[name])
