"""What the stand-ins remember: JSON documents in one SQLite file, so that a restart forgets nothing."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Document = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS document (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (kind, id)
)
"""


class State:
    """A durable store of JSON objects, each under a kind and an id.

    Calls take well under a millisecond and are made straight from the event loop. They may come from
    several threads, but a transaction must not be held across an ``await``: other tasks of the same
    thread would write inside it.
    """

    def __init__(self, path: Path | str) -> None:
        """Open (or make) the store in the file ``path``; its folder is made too."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._depth = 0
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._connection.execute("PRAGMA journal_mode = WAL")
        # NORMAL survives a killed process; only a power cut may lose the last moments, which is fine here.
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(_SCHEMA)

    def get(self, kind: str, id: str) -> Document | None:
        """The document, or None."""
        with self._lock:
            row = self._connection.execute(
                "SELECT body FROM document WHERE kind = ? AND id = ?", (kind, id)
            ).fetchone()
        return _decoded(row[0]) if row else None

    def put(self, kind: str, id: str, doc: Document) -> None:
        """Write the document; one that exists is replaced and keeps its place in the order."""
        with self._lock:
            self._connection.execute(
                "INSERT INTO document (kind, id, body) VALUES (?, ?, ?)"
                " ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body",
                (kind, id, json.dumps(doc, separators=(",", ":"))),
            )

    def delete(self, kind: str, id: str) -> None:
        """Forget the document; one that does not exist is no error."""
        with self._lock:
            self._connection.execute("DELETE FROM document WHERE kind = ? AND id = ?", (kind, id))

    def all(self, kind: str) -> list[Document]:
        """Every document of the kind, in the order they were first put."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT body FROM document WHERE kind = ? ORDER BY position", (kind,)
            ).fetchall()
        return [_decoded(row[0]) for row in rows]

    def keep_newest(self, kind: str, number: int) -> None:
        """Forget all of the kind but the last ones put first."""
        with self._lock:
            self._connection.execute(
                "DELETE FROM document WHERE kind = ? AND position <= ("
                "SELECT position FROM document WHERE kind = ? ORDER BY position DESC LIMIT 1 OFFSET ?)",
                (kind, kind, number),
            )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside happen, or none (an exception undoes them). Nested, the outermost decides."""
        with self._lock:
            if self._depth == 0:
                self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                if self._depth == 1:
                    self._connection.execute("ROLLBACK")
                raise
            else:
                if self._depth == 1:
                    self._connection.execute("COMMIT")
            finally:
                self._depth -= 1

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


def _decoded(body: str) -> Document:
    document: Document = json.loads(body)
    return document
