"""How films are found: pages of the catalogue, in SQL.

Every page is read through an index of what is shown (lib/database/schema.py), so its cost does not grow with
the catalogue: newest first, of one level, of one series, by words. tests/integration/test_search_plans.py looks at
the plans.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    FromClause,
    Row,
    Select,
    and_,
    cast,
    func,
    literal,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import TSQUERY

from lib.database.schema import PUBLISHED, SHOWN, playback_sessions, videos
from lib.video.store import COLUMNS

# Who got this far has seen it.
_SEEN = 0.95


def _in_its_time(film: FromClause) -> Any:
    return and_(
        or_(film.c.available_from.is_(None), film.c.available_from <= func.now()),
        or_(film.c.available_until.is_(None), film.c.available_until > func.now()),
    )


_AVAILABLE = and_(text(SHOWN), _in_its_time(videos))
_TRAILERS = videos.alias("trailers")
# Of a trailer that nobody can watch there is nothing to say. It need not be listed.
_TRAILER_ID = (
    select(_TRAILERS.c.id)
    .where(
        _TRAILERS.c.id == videos.c.trailer_id,
        _TRAILERS.c.published,
        _TRAILERS.c.status == "ready",
        _TRAILERS.c.deleted_at.is_(None),
        _in_its_time(_TRAILERS),
    )
    .correlate(videos)
    .scalar_subquery()
    .label("trailer_id")
)
_SHOWN_COLUMNS = tuple(_TRAILER_ID if column.name == "trailer_id" else column for column in COLUMNS)
# A word as it may stand in a tsquery: ours are put together by hand, because to_tsquery would read operators into what
# people type.
_QUOTED = "'''' || replace(replace({0}, '\\', '\\\\'), '''', '''''') || ''''"
# Each word that is asked for begins a word of the film's. What a word is the films' own index decides.
_BEGINNINGS = text(
    f"SELECT string_agg({_QUOTED.format('lexeme')} || ':*', ' & ') FROM unnest(to_tsvector('simple', :words))"  # noqa: S608 - our own text  # nosec B608
)
# Each word that is asked for is nearly a word of the film's: one of the three that are most like it in all titles. One
# that is like none has to be there as it is.
_NEARLY = text(
    f"""
    SELECT string_agg('(' || COALESCE(alike, {_QUOTED.format("lexeme")} || ':*') || ')', ' & ')
      FROM (
        SELECT lexeme,
               (SELECT string_agg({_QUOTED.format("word")}, ' | ')
                  FROM (SELECT word FROM title_words WHERE word %% lexeme
                         ORDER BY similarity(word, lexeme) DESC, word LIMIT 3) AS likest) AS alike
          FROM unnest(to_tsvector('simple', :words))
      ) AS asked
    """  # noqa: S608 - our own text  # nosec B608
)


def beginnings(tx: Connection, words: str) -> str | None:
    """A query for films that have words that begin so; None for what has no words.

    Asked for by itself: a query that the planner sees before it plans finds its index.
    """
    query: str | None = tx.execute(_BEGINNINGS, {"words": words}).scalar_one()
    return query


@dataclass(frozen=True, slots=True)
class Wish:
    """What is looked for. `series` has an order of its own, everything else is newest first."""

    words: str | None = None
    level: int | None = None
    series: str | None = None


def one(tx: Connection, video_id: uuid.UUID | None) -> Row[Any] | None:
    """A film that viewers can see now, listed or not: whoever has its id may know of it."""
    there = (videos.c.id == video_id, text(PUBLISHED), _in_its_time(videos))
    return tx.execute(select(*_SHOWN_COLUMNS).where(*there)).first()


def page(tx: Connection, wish: Wish, *, after: tuple[Any, ...] | None, limit: int) -> list[Row[Any]]:
    """Films that viewers can see now, from where the last page ended (`place`)."""
    if wish.words is None:
        return _page(tx, wish, None, after, limit)
    query = beginnings(tx, wish.words)
    return [] if query is None else _page(tx, wish, query, after, limit)


def nearly(tx: Connection, wish: Wish, *, limit: int) -> list[Row[Any]]:
    """Films that have nearly the words that were asked for: for those that were mistyped."""
    query = tx.execute(_NEARLY, {"words": wish.words}).scalar_one()
    return [] if query is None else _page(tx, wish, query, None, limit)


def _page(
    tx: Connection, wish: Wish, query: str | None, after: tuple[Any, ...] | None, limit: int
) -> list[Row[Any]]:
    found = select(*_SHOWN_COLUMNS).where(_AVAILABLE)
    if query is not None:
        found = found.where(videos.c.search.op("@@")(cast(literal(query), TSQUERY)))
    if wish.level is not None:
        found = found.where(videos.c.level == wish.level)
    if wish.series is not None:
        found = found.where(videos.c.series == wish.series)
        order: tuple[Any, ...] = (
            func.coalesce(videos.c.season, 0),
            func.coalesce(videos.c.episode, 0),
            videos.c.id,
        )
        if after is not None:
            found = found.where(tuple_(*order) > tuple_(*map(literal, after)))
    else:
        order = (videos.c.created_at.desc(), videos.c.id.desc())
        if after is not None:
            found = found.where(tuple_(videos.c.created_at, videos.c.id) < tuple_(*map(literal, after)))
    return list(tx.execute(found.order_by(*order).limit(limit)))


def place(row: Row[Any], wish: Wish) -> tuple[int, int, uuid.UUID] | tuple[datetime, uuid.UUID]:
    """Where a page that ends with this film ends."""
    if wish.series is not None:
        return row.season or 0, row.episode or 0, row.id
    return row.created_at, row.id


def _last_seen(user_id: uuid.UUID) -> Any:
    """How far somebody got in each film, on whichever of their screens it was last heard of."""
    lease_end = func.least(playback_sessions.c.expires_at, func.now())
    watched_at = func.coalesce(playback_sessions.c.heard_at, lease_end)
    return (
        select(playback_sessions.c.video_id, playback_sessions.c.position, watched_at.label("watched_at"))
        .where(playback_sessions.c.user_id == user_id)
        .distinct(playback_sessions.c.video_id)
        .order_by(playback_sessions.c.video_id, watched_at.desc())
    )


def progress(tx: Connection, user_id: uuid.UUID, video_ids: list[uuid.UUID]) -> dict[uuid.UUID, Row[Any]]:
    """Film -> how far somebody got in it, and when; of those they have begun."""
    seen = _last_seen(user_id).where(playback_sessions.c.video_id.in_(video_ids))
    return {row.video_id: row for row in tx.execute(seen)}


def watched(
    tx: Connection,
    user_id: uuid.UUID,
    *,
    unfinished: bool,
    after: tuple[datetime, uuid.UUID] | None,
    limit: int,
) -> list[Row[Any]]:
    """Films that somebody has begun and could see now, last watched first; each with how far they got."""
    seen = _last_seen(user_id).subquery()
    query: Select[Any] = (
        select(*_SHOWN_COLUMNS, seen.c.position, seen.c.watched_at)
        .join(seen, seen.c.video_id == videos.c.id)
        .where(_AVAILABLE)
    )
    if unfinished:
        query = query.where(seen.c.position > 0, seen.c.position < videos.c.duration * _SEEN)
    if after is not None:
        query = query.where(tuple_(seen.c.watched_at, videos.c.id) < tuple_(*map(literal, after)))
    return list(tx.execute(query.order_by(seen.c.watched_at.desc(), videos.c.id.desc()).limit(limit)))
