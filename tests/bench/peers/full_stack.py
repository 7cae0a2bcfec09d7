"""get-playback in the way of the full-stack FastAPI template: ORM, async, a session for each request."""

import os
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Response
from pydantic import BaseModel
from sqlalchemy import ForeignKey, and_, desc, null, or_, select
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.bench.peers.signing import LEASE_SECONDS, bearer, playback, refused

engine = create_async_engine(os.environ["DATABASE_URL"].replace("+pg8000", "+asyncpg"))
new_session = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    type_annotation_map = {datetime: TIMESTAMP(timezone=True)}  # noqa: RUF012 - as SQLAlchemy documents it


class User(Base):
    __tablename__ = "users"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    role: Mapped[str]


class Login(Base):
    __tablename__ = "sessions"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    device_name: Mapped[str | None]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class Right(Base):
    """What a subscription gives."""

    __tablename__ = "entitlements"
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    plan: Mapped[str | None]
    level: Mapped[int]
    streams: Mapped[int]
    reason: Mapped[str]
    until: Mapped[datetime | None]


class Grant(Base):
    __tablename__ = "grants"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    video_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("videos.id"))
    plan: Mapped[str | None]
    level: Mapped[int]
    streams: Mapped[int]
    reason: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    window_hours: Mapped[int | None]
    first_played_at: Mapped[datetime | None]
    withheld: Mapped[str | None]


class Video(Base):
    __tablename__ = "videos"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    title: Mapped[str]
    level: Mapped[int]
    published: Mapped[bool]
    status: Mapped[str]
    provider: Mapped[str]
    playback_id: Mapped[str]
    duration: Mapped[float]
    available_from: Mapped[datetime | None]
    available_until: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]


class PlaybackSession(Base):
    __tablename__ = "playback_sessions"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sessions.id"))
    video_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("videos.id"))
    position: Mapped[float]
    started_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    stopped_at: Mapped[datetime | None]


class Tokens(BaseModel):
    playback: str
    thumbnail: str
    storyboard: str | None
    drm: str | None


class Entitlement(BaseModel):
    plan: str | None
    reason: str
    until: str | None


class PlaybackPublic(BaseModel):
    video_id: uuid.UUID
    session_id: uuid.UUID
    provider: str
    playback_id: str
    playback_url: str
    tokens: Tokens
    thumbnail_url: str
    storyboard_url: str | None
    expires_at: str
    refresh_after: str
    position: float
    entitlement: Entitlement


async def get_db() -> AsyncIterator[AsyncSession]:
    async with new_session() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_db)]
TokenDep = Annotated[tuple[uuid.UUID, uuid.UUID], Depends(bearer)]


class CurrentLogin:
    """Who asks, and from which login."""

    def __init__(self, user: User, login: Login) -> None:
        self.user = user
        self.login = login


async def get_current_login(session: SessionDep, token: TokenDep) -> CurrentLogin:
    user_id, login_id = token
    login = await session.get(Login, login_id)
    now = datetime.now(UTC)
    if login is None or login.user_id != user_id or login.revoked_at is not None or login.expires_at <= now:
        raise refused(401, "invalid_token")
    user = await session.get(User, user_id)
    if user is None:
        raise refused(401, "invalid_token")
    return CurrentLogin(user, login)


LoginDep = Annotated[CurrentLogin, Depends(get_current_login)]
app = FastAPI()


@app.get("/", response_model=PlaybackPublic)
async def get_playback(
    session: SessionDep,
    current: LoginDep,
    response: Response,
    video_id: uuid.UUID,
    takeover: uuid.UUID | None = None,
) -> Any:
    response.headers["Cache-Control"] = "no-store"
    user, login = current.user, current.login
    is_admin, now = user.role == "admin", datetime.now(UTC)
    video = await session.get(Video, video_id)
    if video is None or video.status == "removed" or video.deleted_at is not None:
        raise refused(404, "video_not_found")
    if not is_admin and not (
        video.published
        and (video.available_from is None or video.available_from <= now)
        and (video.available_until is None or video.available_until > now)
    ):
        raise refused(404, "video_not_found")
    right = await session.get(Right, user.id)
    plan, reason, until, streams, grant = await entitled(session, user, right, video, now)
    if video.status != "ready":
        raise refused(409, "video_not_ready")
    # Who counts streams holds the user's row, so that two screens do not count at the same time.
    await session.execute(select(User.id).where(User.id == user.id).with_for_update())
    now = datetime.now(UTC)
    lease = await take_lease(session, user, login, video, takeover, streams, now)
    if grant is not None and grant.window_hours is not None and grant.first_played_at is None:
        grant.first_played_at, grant.ends_at = now, now + timedelta(hours=grant.window_hours)
        until = grant.ends_at
    await session.commit()
    if not is_admin and video.available_until is not None:
        until = min(until, video.available_until) if until else video.available_until
    return playback(
        video_id=video.id,
        session_id=lease.id,
        provider=video.provider,
        playback_id=video.playback_id,
        duration=video.duration,
        position=lease.position,
        plan=plan,
        reason=reason,
        until=until,
    )


async def entitled(
    session: AsyncSession, user: User, right: Right | None, video: Video, now: datetime
) -> tuple[str | None, str, datetime | None, int | None, Grant | None]:
    """Plan, reason, end and streams of the right to watch this film, and the grant it comes from."""
    if user.role == "admin":
        return None, "staff", None, None, None
    if right is not None and right.until is not None and right.until > now:
        plan, reason, until, level, streams = (
            right.plan,
            right.reason,
            right.until,
            right.level,
            right.streams,
        )
    else:
        plan, reason, until, level, streams = None, "none", None, 0, 1
    if video.level == 0:
        return plan, reason if level else "free", None, streams, None
    if level >= video.level:
        return plan, reason, until, streams, None
    live = and_(
        Grant.withheld.is_(None), Grant.starts_at <= now, or_(Grant.ends_at > now, Grant.ends_at.is_(None))
    )
    fits = or_(Grant.video_id == video.id, and_(Grant.video_id.is_(null()), Grant.level >= video.level))
    best = (Grant.video_id.nulls_first(), desc(Grant.level), Grant.ends_at.desc().nulls_first())
    found = await session.scalars(
        select(Grant).where(Grant.user_id == user.id, live, fits).order_by(*best).limit(1)
    )
    grant = found.first()
    if grant is None:
        raise refused(403, "plan_upgrade_required") if level else refused(402, "subscription_required")
    return grant.plan, grant.reason, grant.ends_at, max(streams, grant.streams), grant


async def take_lease(
    session: AsyncSession,
    user: User,
    login: Login,
    video: Video,
    takeover: uuid.UUID | None,
    streams: int | None,
    now: datetime,
) -> PlaybackSession:
    """This login's lease for the film: the one it has, or another if there is room."""
    rows = await session.scalars(
        select(PlaybackSession)
        .join(Login, Login.id == PlaybackSession.session_id)
        .where(
            PlaybackSession.user_id == user.id, PlaybackSession.expires_at > now, Login.revoked_at.is_(None)
        )
    )
    playing = list(rows)
    mine = [lease for lease in playing if lease.session_id == login.id and lease.video_id == video.id]
    others = [lease for lease in playing if lease not in mine]
    for lease in others:
        if lease.id == takeover:
            lease.expires_at = lease.stopped_at = now
    others = [lease for lease in others if lease.expires_at > now]
    ends = now + timedelta(seconds=LEASE_SECONDS)
    if mine:
        mine[0].expires_at, mine[0].stopped_at = ends, None
        return mine[0]
    if streams is not None and len(others) >= streams:
        raise refused(429, "too_many_streams")
    known = await session.scalars(
        select(PlaybackSession)
        .where(PlaybackSession.user_id == user.id, PlaybackSession.video_id == video.id)
        .order_by(PlaybackSession.expires_at.desc())
    )
    before = list(known)
    position = before[0].position if before else 0.0
    for lease in before:
        if lease.session_id == login.id:
            lease.position, lease.started_at, lease.expires_at, lease.stopped_at = position, now, ends, None
            return lease
    lease = PlaybackSession(
        user_id=user.id,
        session_id=login.id,
        video_id=video.id,
        position=position,
        started_at=now,
        expires_at=ends,
    )
    session.add(lease)
    return lease
