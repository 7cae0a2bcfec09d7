"""How often the current request waited for the database. Apart, so that the log needs no driver."""

from contextvars import ContextVar

round_trips: ContextVar[int] = ContextVar("round_trips", default=0)
