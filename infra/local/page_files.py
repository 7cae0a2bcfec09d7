"""The client's files (`pages/`), as any static host would serve them: the views' addresses all get its one page."""

from pathlib import Path

PAGES = Path(__file__).with_name("pages")
VIEWS = {
    b"/",
    b"/plans",
    b"/sign-in",
    b"/join",
    b"/me",
    b"/verify-email",
    b"/reset-password",
    b"/admin",
    b"/checkout/success",
    b"/checkout/canceled",
}
VIEWS_BELOW = (b"/watch/",)
CONTENT_TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".mjs": b"text/javascript; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".svg": b"image/svg+xml",
}
# The real providers' hosts, for whoever runs the page with keys of their own: what is played, where files are sent.
_VIDEO_HOSTS = "https://*.mux.com https://*.cloudflarestream.com"
_UPLOAD_HOSTS = "https://storage.googleapis.com https://*.videodelivery.net https://*.cloudflare.com"
_SECURITY_POLICY = (
    "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; "
    "script-src 'self'; style-src 'self'; worker-src 'none'; "
    f"img-src 'self' {_VIDEO_HOSTS}; connect-src 'self' {_VIDEO_HOSTS} {_UPLOAD_HOSTS}; "
    # hls.js makes the menu of captions from tracks that are empty at first, `data:,WEBVTT`.
    f"media-src 'self' blob: data: {_VIDEO_HOSTS}"
)
_FILES = {
    f"/pages/{path.relative_to(PAGES).as_posix()}".encode(): path
    for path in PAGES.rglob("*")
    if path.suffix in CONTENT_TYPES and path.suffix != ".html"
}


def page_file(path: bytes) -> Path | None:
    """The file that answers a GET of this path; None where the path is not the client's."""
    if path in VIEWS or any(path.startswith(prefix) and path != prefix for prefix in VIEWS_BELOW):
        return PAGES / "index.html"
    return _FILES.get(path)


def page_headers(file: Path) -> list[tuple[bytes, bytes]]:
    """What a page's answer says beside its length."""
    return [
        (b"content-type", CONTENT_TYPES[file.suffix]),
        (b"cache-control", b"no-cache"),
        (b"content-security-policy", _SECURITY_POLICY.encode()),
        # Links in mails carry tokens in their query.
        (b"referrer-policy", b"no-referrer"),
        (b"x-content-type-options", b"nosniff"),
    ]
