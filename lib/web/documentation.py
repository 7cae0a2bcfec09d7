"""api-docs: openapi.json, Swagger UI and Redoc, with assets of our own: nothing comes from a CDN."""

from functools import partial
from pathlib import Path

from lib.web.operation import Answer, Call, Handler, Operation, Who

_TYPES = {".json": "application/json", ".js": "text/javascript", ".css": "text/css", ".html": "text/html"}
_HEADERS = {
    # Redoc starts a worker from a blob and styles elements itself; nothing else comes from elsewhere.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; worker-src blob:; frame-ancestors 'none'"
    ),
}


def routes(folder: Path) -> list[tuple[Operation, Handler]]:
    """One operation for each file of the function's folder that is to be served.

    Args:
        folder: holds openapi.json, docs.html, redoc.html and assets/.
    """
    pages = {
        "/openapi.json": folder / "openapi.json",
        "/docs": folder / "docs.html",
        "/redoc": folder / "redoc.html",
    }
    assets = {
        f"/assets/{path.name}": path
        for path in sorted((folder / "assets").iterdir())
        if path.suffix in (".js", ".css")
    }
    return [(_operation(path), partial(_send, file)) for path, file in (pages | assets).items()]


def _operation(path: str) -> Operation:
    return Operation(
        function="api-docs",
        method="GET",
        summary="The API's description",
        who=Who.ANYONE,
        answers={200: None},
        path=path,
    )


def _send(file: Path, _call: Call) -> Answer:
    kind = _TYPES[file.suffix]
    caching = "public, max-age=86400" if file.parent.name == "assets" else "public, max-age=60"
    return Answer(
        200,
        content=file.read_bytes(),
        headers={"Content-Type": f"{kind}; charset=utf-8", "Cache-Control": caching, **_HEADERS},
    )
