"""Publication, series and languages of films, deletion with a delay; searching them by words, also mistyped

Revision: 0010
After: 0009
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"

_SQL = Path(__file__).parent.parent / "sql"
_SHOWN = "published AND listed AND status = 'ready' AND deleted_at IS NULL"
_CHECKS = {
    "available_some_time": "available_until > available_from",
    "preview_range": "preview_seconds BETWEEN 1 AND 86400",
    "trailer_of_another": "trailer_id <> id",
    "series_length": "length(series) BETWEEN 1 AND 200",
    "episode_range": "season BETWEEN 0 AND 10000 AND episode BETWEEN 0 AND 100000",
    "episode_of_a_series": "series IS NOT NULL OR (season IS NULL AND episode IS NULL)",
    "deleted_is_purged": "(deleted_at IS NULL) = (purge_at IS NULL)",
    "purged_was_deleted": "purged_at IS NULL OR deleted_at IS NOT NULL",
}


def upgrade() -> None:
    # A trusted extension: the database's owner may make it, and Cloud SQL has it.
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    none = sa.text("'{}'::text[]")
    for name in ("captions", "audio_languages"):
        op.add_column(
            "videos", sa.Column(name, postgresql.ARRAY(sa.Text()), nullable=False, server_default=none)
        )
    op.add_column("videos", sa.Column("listed", sa.Boolean(), nullable=False, server_default=sa.text("true")))
    for name in ("available_from", "available_until", "checked_at", "deleted_at", "purge_at", "purged_at"):
        op.add_column("videos", sa.Column(name, sa.DateTime(timezone=True)))
    op.add_column("videos", sa.Column("preview_seconds", sa.Integer()))
    op.add_column("videos", sa.Column("trailer_id", sa.Uuid()))
    op.add_column("videos", sa.Column("series", sa.Text()))
    op.add_column("videos", sa.Column("season", sa.Integer()))
    op.add_column("videos", sa.Column("episode", sa.Integer()))
    op.create_foreign_key(
        op.f("fk_videos_trailer_id"), "videos", "videos", ["trailer_id"], ["id"], ondelete="SET NULL"
    )
    for name, rule in _CHECKS.items():
        op.create_check_constraint(op.f(f"ck_videos_{name}"), "videos", rule)
    op.add_column(
        "videos",
        sa.Column(
            "search",
            postgresql.TSVECTOR(),
            sa.Computed(
                "setweight(to_tsvector('simple', title || ' ' || coalesce(series, '')), 'A') || "
                "setweight(to_tsvector('simple', description), 'B')",
                persisted=True,
            ),
        ),
    )
    shown = sa.text(_SHOWN)
    op.create_index("ix_videos_shown", "videos", ["created_at", "id"], postgresql_where=shown)
    op.create_index("ix_videos_level", "videos", ["level", "created_at", "id"], postgresql_where=shown)
    op.create_index("ix_videos_series", "videos", ["series"], postgresql_where=shown)
    op.create_index("ix_videos_search", "videos", ["search"], postgresql_using="gin", postgresql_where=shown)
    op.create_index(
        "ix_videos_title",
        "videos",
        ["title"],
        postgresql_using="gin",
        postgresql_ops={"title": "gin_trgm_ops"},
        postgresql_where=shown,
    )
    op.create_index(
        "ix_videos_unfinished",
        "videos",
        [sa.text("coalesce(checked_at, updated_at)")],
        postgresql_where=sa.text("status IN ('waiting', 'processing') AND deleted_at IS NULL"),
    )
    op.create_index(
        "ix_videos_purge_at",
        "videos",
        ["purge_at"],
        postgresql_where=sa.text("deleted_at IS NOT NULL AND purged_at IS NULL"),
    )
    op.drop_index("ix_videos_listed", "videos")
    op.get_bind().exec_driver_sql((_SQL / "0010_publication.sql").read_text())
