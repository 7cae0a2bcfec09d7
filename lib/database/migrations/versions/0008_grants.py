"""What an account may watch is computed from grants; films sold by themselves, gift codes, trials per card

Revision: 0008
After: 0007
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_SQL = Path(__file__).parent.parent / "sql"
_TIME = sa.DateTime(timezone=True)
_REASONS = "'subscription', 'trial', 'grace', 'rental', 'purchase', 'gift', 'staff'"
_DENIALS = "'none', 'payment_failed', 'canceled', 'paused', 'refunded', 'disputed'"


def upgrade() -> None:
    _films_are_sold()
    _grants()
    op.create_table(
        "gift_codes",
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("note", sa.Text()),
        sa.Column("created_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", _TIME),
        sa.Column("redeemed_at", _TIME),
        sa.Column("redeemed_by", sa.Uuid()),
        sa.CheckConstraint("octet_length(code_hash) = 32", name=op.f("ck_gift_codes_hash_length")),
        sa.CheckConstraint("days BETWEEN 1 AND 3660", name=op.f("ck_gift_codes_days_range")),
        sa.CheckConstraint(
            "redeemed_by IS NULL OR redeemed_at IS NOT NULL",
            name=op.f("ck_gift_codes_redeemed_by_somebody_once"),
        ),
        sa.ForeignKeyConstraint(
            ["redeemed_by"], ["users.id"], name=op.f("fk_gift_codes_redeemed_by"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_gift_codes")),
    )
    op.create_table(
        "trial_cards",
        sa.Column("card_hash", sa.LargeBinary(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("octet_length(card_hash) = 32", name=op.f("ck_trial_cards_hash_length")),
        sa.PrimaryKeyConstraint("card_hash", name=op.f("pk_trial_cards")),
    )
    op.get_bind().exec_driver_sql((_SQL / "0008_film_grants.sql").read_text())


def _films_are_sold() -> None:
    op.add_column("videos", sa.Column("price_amount", sa.Integer()))
    op.add_column("videos", sa.Column("price_currency", sa.Text()))
    op.add_column("videos", sa.Column("rental_hours", sa.Integer()))
    for name, rule in (
        ("price_positive", "price_amount > 0"),
        ("currency_form", "price_currency ~ '^[a-z]{3}$'"),
        ("price_whole", "(price_amount IS NULL) = (price_currency IS NULL)"),
        ("rental_range", "rental_hours BETWEEN 1 AND 8760"),
        ("rental_has_a_price", "rental_hours IS NULL OR price_amount IS NOT NULL"),
    ):
        op.create_check_constraint(op.f(f"ck_videos_{name}"), "videos", rule)
    op.add_column("checkouts", sa.Column("video_id", sa.Uuid()))
    op.create_foreign_key(
        op.f("fk_checkouts_video_id"), "checkouts", "videos", ["video_id"], ["id"], ondelete="CASCADE"
    )
    op.alter_column("checkouts", "plan", nullable=True)
    op.create_check_constraint(
        op.f("ck_checkouts_one_wish"), "checkouts", "(plan IS NULL) <> (video_id IS NULL)"
    )


def _grants() -> None:
    op.create_table(
        "grants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("video_id", sa.Uuid()),
        sa.Column("plan", sa.Text()),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("streams", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("starts_at", _TIME, nullable=False),
        sa.Column("ends_at", _TIME),
        sa.Column("window_hours", sa.Integer()),
        sa.Column("first_played_at", _TIME),
        sa.Column("withheld", sa.Text()),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "source IN ('subscription', 'purchase', 'gift', 'staff')", name=op.f("ck_grants_source_known")
        ),
        sa.CheckConstraint(f"reason IN ({_REASONS})", name=op.f("ck_grants_reason_known")),
        sa.CheckConstraint(
            f"withheld IN ({_DENIALS}, 'duplicate', 'trial_used', 'revoked')",
            name=op.f("ck_grants_withheld_known"),
        ),
        sa.CheckConstraint(
            "(video_id IS NOT NULL) = (source = 'purchase')", name=op.f("ck_grants_purchase_is_of_a_film")
        ),
        sa.CheckConstraint(
            "video_id IS NULL OR (plan IS NULL AND level = 0)", name=op.f("ck_grants_film_or_level")
        ),
        sa.CheckConstraint("video_id IS NOT NULL OR ends_at IS NOT NULL", name=op.f("ck_grants_bounded")),
        sa.CheckConstraint(
            "video_id IS NOT NULL OR level > 0 OR withheld IS NOT NULL",
            name=op.f("ck_grants_gives_something"),
        ),
        sa.CheckConstraint(
            "(window_hours IS NOT NULL) = (reason = 'rental')", name=op.f("ck_grants_rental_has_a_window")
        ),
        sa.CheckConstraint("window_hours BETWEEN 1 AND 8760", name=op.f("ck_grants_window_range")),
        sa.CheckConstraint(
            "first_played_at IS NULL OR window_hours IS NOT NULL", name=op.f("ck_grants_played_is_rented")
        ),
        sa.CheckConstraint("level >= 0 AND streams >= 0", name=op.f("ck_grants_not_negative")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["billing_accounts.user_id"], name=op.f("fk_grants_user_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["video_id"], ["videos.id"], name=op.f("fk_grants_video_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
        sa.UniqueConstraint("source", "source_id", name=op.f("uq_grants_source_source_id")),
    )
    op.create_index("ix_grants_user_id", "grants", ["user_id"])
    op.drop_constraint(op.f("ck_entitlements_reason_known"), "entitlements", type_="check")
    op.create_check_constraint(
        op.f("ck_entitlements_reason_known"), "entitlements", f"reason IN ({_REASONS}, {_DENIALS})"
    )
    op.drop_constraint(op.f("ck_entitlements_reason_fits"), "entitlements", type_="check")
    op.create_check_constraint(
        op.f("ck_entitlements_reason_fits"), "entitlements", f"(level > 0) = (reason IN ({_REASONS}))"
    )
    # What accounts have now, in the name of the subscription it came from; the next sync writes it anew.
    op.execute(
        """
        INSERT INTO grants (id, user_id, source, source_id, plan, level, streams, reason,
                            starts_at, ends_at, withheld, cause)
        SELECT gen_random_uuid(), e.user_id, 'subscription', s.stripe_id, e.plan, e.level, e.streams,
               CASE WHEN e.level > 0 THEN e.reason ELSE 'subscription' END,
               s.created_at, COALESCE(e.until, s.current_period_end),
               CASE WHEN e.level = 0 THEN e.reason END, 'migration:0008'
          FROM entitlements e
          JOIN LATERAL (
              SELECT * FROM subscriptions
               WHERE user_id = e.user_id
               ORDER BY plan IS NOT DISTINCT FROM e.plan DESC, created_at DESC, stripe_id DESC
               LIMIT 1
          ) s ON true
        """
    )
