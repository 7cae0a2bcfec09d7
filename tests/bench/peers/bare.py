"""The least that functions-framework can serve."""

import flask


def bare(_request: flask.Request) -> dict[str, bool]:
    return {"ok": True}
