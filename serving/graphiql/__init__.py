"""GraphiQL, served from here alone: a page to explore the API that asks no other host for anything.

It does not decide who gets a token: the caller hands one in, which it may do in `sim` alone.
"""

from html import escape
from pathlib import Path
from string import Template
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from serving import negotiation

_HERE: Final = Path(__file__).parent
_PAGE: Final = Template((_HERE / "index.html").read_text(encoding="utf-8"))

# Images and fonts come as data: URLs inside GraphiQL's style sheet.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def wants_page(request: Request) -> bool:
    """Say whether a GET of the endpoint comes from a browser that would rather see a page."""
    return negotiation.wants_page(request.headers.get("accept", ""))


def page(token: str | None) -> Response:
    """Return the page, with the token in its headers editor where one is given.

    It is never cached, because a token must not outlive its gateway in a browser's cache.
    """
    html = _PAGE.substitute(token=escape(token or ""))
    return HTMLResponse(html, headers={**_HEADERS, "Cache-Control": "no-store", "Vary": "Accept"})


def assets() -> Mount:
    """Return the route of the scripts and style sheets that the page names."""
    return Mount("/graphiql", app=_Assets(directory=_HERE / "static"), name="graphiql")


class _Assets(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        # Kept by the browser but asked for by ETag, so that an upgrade shows at once.
        response.headers.update({**_HEADERS, "Cache-Control": "no-cache"})
        return response
