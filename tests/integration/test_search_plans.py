"""A catalogue of 100,000 films: every page is read through an index made for it.

The plans are asserted. How long they took is printed (`-s`) and written down in docs/scaling.md, not asserted: a
busy machine must not fail a test.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, NullPool, create_engine, event, text

from lib.config import Environment
from lib.database.engine import Database
from lib.video import search
from lib.video.managed import _page
from lib.video.search import Wish
from tests.conftest import copied

FILMS = 100_000
# 40 × 50 × 50 titles, so that each word is in some hundreds or thousands of films; a few in a series, a few free.
FILL = """
    INSERT INTO videos (id, title, description, level, published, status, provider, asset_id, playback_id,
                        duration, series, season, episode, created_at)
    SELECT gen_random_uuid(),
           initcap(a.word) || ' ' || b.word || ' of ' || c.word || ' ' || n,
           'A story about ' || c.word || ' and ' || a.word || '. ' || repeat('Long and slow. ', 10),
           CASE WHEN mod(n, 1000) = 0 THEN 0 ELSE 1 + mod(n, 3) END, mod(n, 10) <> 0,
           CASE WHEN mod(n, 50) = 1 THEN 'processing' ELSE 'ready' END, 'mux', 'asset-' || n, 'playback-' || n,
           5400, CASE WHEN mod(n, 500) < 2 THEN 'Series ' || mod(n, 7) END, CASE WHEN mod(n, 500) < 2 THEN mod(n, 9) END,
           CASE WHEN mod(n, 500) < 2 THEN n END, timestamptz '2020-01-01' + n * interval '10 minutes'
      FROM generate_series(1, CAST(:films AS integer)) n
      JOIN (SELECT ordinality - 1 AS i, word FROM unnest(CAST(:first AS text[])) WITH ORDINALITY AS w(word, ordinality)) a
        ON a.i = mod(n, 40)
      JOIN (SELECT ordinality - 1 AS i, word FROM unnest(CAST(:second AS text[])) WITH ORDINALITY AS w(word, ordinality)) b
        ON b.i = mod(n / 40, 50)
      JOIN (SELECT ordinality - 1 AS i, word FROM unnest(CAST(:third AS text[])) WITH ORDINALITY AS w(word, ordinality)) c
        ON c.i = n / 2000
"""

# As many different words as so many titles have.
WORDS = """
    INSERT INTO title_words
    SELECT translate(to_char(n * 7919, 'FM0000000'), '0123456789', 'abeilnorst') FROM generate_series(1, 60000) n
    ON CONFLICT DO NOTHING
"""


def words(count: int, seed: int) -> list[str]:
    """Words that look like some, always the same."""
    begin = ["br", "cal", "dor", "el", "fen", "gal", "hol", "in", "jas", "ken"]
    middle = ["a", "el", "i", "on", "ur"]
    end = ["dale", "mere", "stone", "wick", "ton", "ford", "ley", "worth"]
    made = [f"{a}{b}{c}" for a in begin for b in middle for c in end]
    return [made[(number * 7 + seed * 53) % len(made)] for number in range(count)]


@pytest.fixture(scope="module")
def catalogue(template: str) -> Iterator[Database]:
    url = copied(template)
    # With patience: the functions' own connections would give up.
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        filled = {"films": FILMS, "first": words(40, 1), "second": words(50, 2), "third": words(51, 3)}
        assert connection.execute(text(FILL), filled).rowcount == FILMS
        connection.execute(text(WORDS))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE videos, title_words"))
    database = Database(Environment({"DATABASE_URL": url}).database())
    yield database
    database.dispose()


def explained(database: Database, ask: Any) -> tuple[str, list[str], float]:
    """The plan of the last SELECT that `ask(tx)` makes, in short; its indexes; its milliseconds."""
    with database.transaction() as tx:
        asked: list[tuple[str, Any]] = []

        def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            asked.append((statement, parameters))

        event.listen(tx, "before_cursor_execute", note)
        ask(tx)
        event.remove(tx, "before_cursor_execute", note)
        statement, parameters = asked[-1]
        plans = [
            tx.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).scalar_one()
            for _ in range(5)
        ]
    plan = plans[-1] if isinstance(plans[-1], list) else json.loads(plans[-1])
    took = min(
        float((each if isinstance(each, list) else json.loads(each))[0]["Execution Time"]) for each in plans
    )
    nodes: list[dict[str, Any]] = []

    def walk(node: dict[str, Any]) -> None:
        nodes.append(node)
        for child in node.get("Plans", []):
            walk(child)

    walk(plan[0]["Plan"])
    indexes = [node["Index Name"] for node in nodes if "Index Name" in node]
    return " > ".join(node["Node Type"] for node in nodes), indexes, took


MIDDLE = (datetime(2020, 12, 1, tzinfo=UTC), UUID(int=0))
COMMON, SECOND, THIRD = words(1, 1)[0], words(1, 2)[0], words(1, 3)[0]
# The 1203rd film's, as FILL makes it.
TITLE = f"{words(4, 1)[3]} {words(31, 2)[30]} of {THIRD} 1203"
PAGES: dict[str, tuple[Wish, Any, str]] = {
    "the first page": (Wish(), None, "ix_videos_shown"),
    "a page in the middle": (Wish(), MIDDLE, "ix_videos_shown"),
    "of a level, which many are": (Wish(level=2), None, "ix_videos_shown"),
    "free, which few are": (Wish(level=0), None, "ix_videos_level"),
    "a series": (Wish(series="Series 3"), None, "ix_videos_series"),
    "two words": (Wish(words=f"{COMMON} {SECOND}"), None, "ix_videos_search"),
    "a word and a beginning": (Wish(words=f"{COMMON} {THIRD[:5]}"), None, "ix_videos_search"),
    "one film by its title": (Wish(words=TITLE), None, "ix_videos_search"),
    "words that nothing has": (Wish(words="kwyjibo"), None, "ix_videos_search"),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_read_through_its_index(catalogue: Database, name: str) -> None:
    wish, after, index = PAGES[name]

    def ask(tx: Connection) -> None:
        search.page(tx, wish, after=after, limit=21)

    plan, indexes, took = explained(catalogue, ask)
    print(f"\n{name}: {took:.2f} ms, {plan}, {indexes}")
    assert index in indexes
    assert "Seq Scan" not in plan.replace("Function Scan", "")


def test_a_common_word_is_found_without_reading_the_catalogue(catalogue: Database) -> None:
    """One film in forty has it: newest first they are at hand, whichever of the two indexes is taken."""

    def ask(tx: Connection) -> None:
        assert len(search.page(tx, Wish(words=COMMON), after=None, limit=21)) == 21

    plan, indexes, took = explained(catalogue, ask)
    print(f"\na common word: {took:.2f} ms, {plan}, {indexes}")
    assert {"ix_videos_search", "ix_videos_shown"} & set(indexes)
    assert "Seq Scan" not in plan


def test_mistyped_words_are_corrected_through_their_index(catalogue: Database) -> None:
    wish = Wish(words=f"{COMMON[:-1]}x {SECOND[:2]}{SECOND[3:]}")

    def ask(tx: Connection) -> None:
        assert search.page(tx, wish, after=None, limit=21) == []
        assert search.nearly(tx, wish, limit=20)

    plan, indexes, took = explained(catalogue, ask)
    print(f"\nmistyped, the page: {took:.2f} ms, {plan}, {indexes}")
    assert {"ix_videos_search", "ix_videos_shown"} & set(indexes)
    assert "Seq Scan" not in plan

    def correct(tx: Connection) -> None:
        tx.execute(search._NEARLY, {"words": wish.words})

    plan, indexes, took = explained(catalogue, correct)
    print(f"\nmistyped, the words: {took:.2f} ms, {plan}, {indexes}")
    assert "ix_title_words_alike" in indexes


@pytest.mark.parametrize(
    "asked", [{}, {"after": MIDDLE}, {"status": "ready"}], ids=["first", "middle", "ready"]
)
def test_an_admin_s_page_is_read_through_its_index(catalogue: Database, asked: dict[str, Any]) -> None:
    wish = {"words": None, "status": None, "after": None} | asked
    plan, indexes, took = explained(catalogue, lambda tx: _page(tx, limit=21, **wish))
    assert indexes == ["ix_videos_managed"], plan
    assert "Sort" not in plan
    print(f"\nan admin's page: {took:.2f} ms, {plan}")


@pytest.mark.parametrize(("words", "many"), [(COMMON, 21), (TITLE, 1), ("kwyjibo", 0)])
def test_an_admin_finds_words_in_all_films(catalogue: Database, words: str, many: int) -> None:
    wish: dict[str, Any] = {"words": words, "status": None, "after": None, "limit": 21}
    with catalogue.transaction() as tx:
        assert len(_page(tx, **wish)) == many
    plan, indexes, took = explained(catalogue, lambda tx: _page(tx, **wish))
    print(f"\nan admin's words: {took:.2f} ms, {plan}, {indexes}")
    assert {"ix_videos_search", "ix_videos_managed"} & set(indexes)
    assert many == 21 or indexes == ["ix_videos_search"], "not page by page through all of them"
    assert "Seq Scan" not in plan
