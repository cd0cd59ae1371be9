"""The dashboard's files as replies: the page, its scripts and its styles, with headers that let it run nothing else.

They are in the package, next to this room, and are served by their exact names, so that no path leads elsewhere. They
change with each deployment, so browsers ask every time, and are answered 304 as long as nothing has changed.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path

from batchyard.core.errors import NotFound
from batchyard.handlers.http import Call
from batchyard.surfaces.http import Reply
from batchyard.surfaces.operations import PageFile

_FOLDER = Path(__file__).parents[1] / "dashboard"
_INDEX = "index.html"
_ETAG_BYTES = 12
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
"""What is served of the folder: files with one of these suffixes."""
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
"""Scripts and styles are the page's own files and never inline; no text becomes markup; nothing is fetched or sent
elsewhere: https://www.w3.org/TR/CSP3/. A download is a navigation, which this does not restrict."""
_HEADERS = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cache-control": "no-cache",
    "vary": "accept-encoding",
}


@dataclass(frozen=True, slots=True)
class _Stored:
    content_type: str
    data: bytes
    packed: bytes
    etag: str


def show_page(call: Call, wanted: PageFile) -> Reply:
    """A file of the dashboard. Its bare address leads to the page by a redirect, because what the page loads is named
    relative to it, and API Gateway does not tell `/dashboard` from `/dashboard/`. Raises NotFound."""
    if not wanted.name:
        return Reply(302, headers={"location": f"{wanted.api_url}/dashboard/{_INDEX}", "cache-control": "no-store"})
    stored = _files().get(wanted.name)
    if stored is None:
        raise NotFound(f"The dashboard has no file {wanted.name[:128]!r}.", param="file", code="file_not_found")
    headers = {**_HEADERS, "content-type": stored.content_type, "etag": stored.etag}
    if wanted.takes_gzip and len(stored.packed) < len(stored.data):
        return Reply(200, stored.packed, {**headers, "content-encoding": "gzip"}, binary=True)
    return Reply(200, stored.data, headers, binary=True)


@cache
def _files() -> dict[str, _Stored]:
    """Name -> file, read once: all of them are less than what a single import takes."""
    found = {}
    for path in sorted(_FOLDER.rglob("*")):
        if path.is_file() and path.suffix in _TYPES:
            data = path.read_bytes()
            etag = f'"{blake2b(data, digest_size=_ETAG_BYTES).hexdigest()}"'
            name = path.relative_to(_FOLDER).as_posix()
            found[name] = _Stored(_TYPES[path.suffix], data, gzip.compress(data, 9, mtime=0), etag)
    return found
