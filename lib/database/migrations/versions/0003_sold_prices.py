"""Which plan a price sold, for those who pay a price that lost its lookup key

Revision: 0003
After: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "sold_prices",
        sa.Column("price_id", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("price_id", name=op.f("pk_sold_prices")),
    )
