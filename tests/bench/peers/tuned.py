"""get-playback tuned by hand: FastAPI, asyncpg's own pool, one query in autocommit, no models."""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from tests.bench.peers.signing import LEASE_SECONDS, bearer, playback, refused

_OPEN = "SELECT * FROM open_playback($1, $2, $3, $4, $5)"
_REFUSALS = {
    "invalid_token": 401,
    "video_not_found": 404,
    "subscription_required": 402,
    "plan_upgrade_required": 403,
    "video_not_ready": 409,
    "too_many_streams": 429,
}


class Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """Nothing is left behind by a function call in autocommit, so nothing is reset: a round trip less."""

    def get_reset_query(self) -> str:
        return ""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    url = os.environ["DATABASE_URL"].replace("+pg8000", "")
    # The first connection is made when the first request asks for it, as Streamly does.
    app.state.pool = await asyncpg.create_pool(url, min_size=0, max_size=10, connection_class=Connection)
    yield
    await app.state.pool.close()


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def get_playback(request: Request) -> JSONResponse:
    user_id, login_id = bearer(request)
    takeover = _uuid(request.query_params.get("takeover", ""))
    video_id = _uuid(request.query_params.get("video_id", ""))
    pool: Any = request.app.state.pool
    found = await pool.fetchrow(_OPEN, login_id, user_id, video_id, takeover, LEASE_SECONDS)
    if found["outcome"] != "allowed" or video_id is None:
        raise refused(_REFUSALS[found["outcome"]], found["outcome"])
    body = playback(
        video_id=video_id,
        session_id=found["playback_session_id"],
        provider=found["provider"],
        playback_id=found["playback_id"],
        duration=found["duration"],
        position=found["position"],
        plan=found["plan"],
        reason=found["reason"],
        until=found["until"],
    )
    plain = body | {"video_id": str(video_id), "session_id": str(body["session_id"])}
    return JSONResponse(plain, headers={"Cache-Control": "no-store"})


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
