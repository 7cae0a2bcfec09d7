"""Single statements, as a role: what a pool and a `Database` both do. Imports no driver."""

from typing import Any, Protocol


class Reads(Protocol):
    """See `lib.database.pool.Pool.read`."""

    def read(self, sql: str, **parameters: object) -> dict[str, Any] | None:
        """The first row of one statement, in one round trip and in autocommit. It must bear being run twice.

        Raises:
            UnavailableError: the database cannot be reached.
        """
        ...


def called(database: Reads, sql: str, **parameters: object) -> dict[str, Any]:
    """What a function in the database answers, which always is one row. Otherwise as `Reads.read`."""
    found = database.read(sql, **parameters)
    if found is None:
        raise LookupError("A function answered nothing")
    return found
