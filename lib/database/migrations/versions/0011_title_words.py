"""Words of titles, to which mistyped ones are corrected

Revision: 0011
After: 0010
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    op.create_table(
        "title_words",
        sa.Column("word", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("word", name=op.f("pk_title_words")),
    )
    op.create_index(
        "ix_title_words_alike",
        "title_words",
        ["word"],
        postgresql_using="gin",
        postgresql_ops={"word": "gin_trgm_ops"},
    )
    op.drop_index("ix_videos_title", "videos")
    op.get_bind().exec_driver_sql((_SQL / "0011_title_words.sql").read_text())
    op.execute(
        "INSERT INTO title_words SELECT DISTINCT word FROM videos, LATERAL words_of_title(title, series)"
    )
