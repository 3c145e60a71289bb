"""The few pages for people: the landing page, the documentation, one page for each kind of problem. No page asks
another server for anything."""

from __future__ import annotations

from functools import cache
from html import escape
from importlib import resources

from starlette.responses import HTMLResponse, Response

from service import __version__
from service.problems import KINDS, problem

_CLOSED = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
PAGE_POLICY = f"default-src 'none'; style-src 'self'; img-src 'self' data:; {_CLOSED}"
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    f"connect-src 'self'; font-src 'self' data:; {_CLOSED}"
)
"""Swagger UI sets styles in the page; scripts come from files alone."""

STATIC: dict[str, tuple[str, str, str]] = {
    "style.css": ("service", "static/style.css", "text/css"),
    "icon.svg": ("service", "static/icon.svg", "image/svg+xml"),
    "docs.js": ("service", "static/docs.js", "text/javascript"),
    "swagger-ui-bundle.js": ("fastapi_swagger", "resources/swagger-ui-bundle.js", "text/javascript"),
    "swagger-ui.css": ("fastapi_swagger", "resources/swagger-ui.css", "text/css"),
}
"""Files that pages load: package, place in it, media type."""


@cache
def _file(name: str) -> bytes:
    package, path, _ = STATIC[name]
    return resources.files(package).joinpath(path).read_bytes()


def static(name: str) -> Response:
    """A file of a page."""
    if name not in STATIC:
        raise problem("not-found", "There is no such file.")
    return Response(
        _file(name), media_type=STATIC[name][2], headers={"Cache-Control": "public, max-age=3600"}
    )


def _page(
    title: str, body: str, root: str, *, policy: str = PAGE_POLICY, head: str | None = None
) -> HTMLResponse:
    """A page; `head` in place of the link to our own style."""
    base = escape(root)
    if head is None:
        head = f'<link rel="stylesheet" href="{base}/static/style.css">\n'
    return HTMLResponse(
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f'<link rel="icon" href="{base}/static/icon.svg" type="image/svg+xml">\n'
        f"{head}</head>\n<body>\n{body}\n</body>\n</html>\n",
        headers={"Content-Security-Policy": policy},
    )


def landing(root: str) -> Response:
    """`GET /`."""
    base = escape(root)
    return _page(
        "Wengert",
        f"""<main>
<h1>Wengert</h1>
<p>Automatic differentiation as a service, version {__version__}. Send a program and values for its inputs; get exact
derivatives.</p>
<pre><code>curl {base or "http://localhost:8000"}/v1/grad --json '{{"expression": "(x + y) * z",
  "inputs": {{"x": -2, "y": 5, "z": -4}}}}'</code></pre>
<ul>
<li><a href="{base}/docs">Documentation</a> of all requests, to be tried in the page</li>
<li><a href="{base}/v1/ops">The op catalogue</a>, and this server's <a href="{base}/v1/limits">limits</a></li>
<li><a href="{base}/openapi.json">openapi.json</a>, for client generators</li>
<li><a href="{base}/problems">What can go wrong</a></li>
</ul>
</main>""",
        root,
    )


def docs(root: str) -> Response:
    """`GET /docs`: Swagger UI, from files of this server."""
    base = escape(root)
    head = (
        f'<link rel="stylesheet" href="{base}/static/swagger-ui.css">\n'
        f'<script defer src="{base}/static/swagger-ui-bundle.js"></script>\n'
        f'<script defer src="{base}/static/docs.js" data-root="{base}"></script>\n'
    )
    body = (
        '<div id="swagger-ui"></div>\n<noscript><main><p>This page needs JavaScript; '
        f'<a href="{base}/openapi.json">openapi.json</a> has all it shows.</p></main></noscript>'
    )
    return _page("Wengert: documentation", body, root, policy=DOCS_POLICY, head=head)


def problem_list(root: str) -> Response:
    """`GET /problems`."""
    base = escape(root)
    rows = "\n".join(
        f'<tr><td>{kind.status}</td><td><a href="{base}/problems/{name}">{name}</a></td>'
        f"<td>{escape(kind.title)}</td></tr>"
        for name, kind in KINDS.items()
    )
    return _page(
        "Wengert: problems",
        f"<main>\n<h1>Problems</h1>\n<p>Errors are answered as <code>application/problem+json</code> (RFC 9457); "
        f"<code>type</code> names one of these.</p>\n<table>\n{rows}\n</table>\n</main>",
        root,
    )


def problem_page(name: str, root: str) -> Response:
    """`GET /problems/{name}`."""
    kind = KINDS.get(name)
    if kind is None:
        raise problem("not-found", "There is no such kind of problem; /problems lists them.")
    return _page(
        f"Wengert: {kind.title}",
        f"<main>\n<p><code>{name}</code>, status {kind.status}</p>\n<h1>{escape(kind.title)}</h1>\n"
        f'<p>{escape(kind.meaning)}</p>\n<p><a href="{escape(root)}/problems">All problems</a></p>\n</main>',
        root,
    )
