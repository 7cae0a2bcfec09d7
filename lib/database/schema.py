"""Every table, with the constraints that keep wrong states out.

Queries are written against these objects; migrations/ builds them; a test compares the two.
Times are `timestamptz`, ids are UUIDs made by the application unless Stripe or Mux names the thing.
"""

import uuid
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

NOW = text("now()")
# What viewers can see, apart from when it is available.
PUBLISHED = "published AND status = 'ready' AND deleted_at IS NULL"
SHOWN = "published AND listed AND status = 'ready' AND deleted_at IS NULL"
_MANAGED = "deleted_at IS NULL AND status <> 'removed'"
ENTITLEMENT_REASONS = (
    "subscription",
    "trial",
    "grace",
    "rental",
    "purchase",
    "gift",
    "staff",
    "none",
    "payment_failed",
    "canceled",
    "paused",
    "refunded",
    "disputed",
)
GRANT_SOURCES = ("subscription", "purchase", "gift", "staff")
GRANT_REASONS = ("subscription", "trial", "grace", "rental", "purchase", "gift", "staff")
# Why a grant gives nothing although it has not ended.
WITHHELD = (
    "none",
    "payment_failed",
    "canceled",
    "paused",
    "refunded",
    "disputed",
    "duplicate",
    "trial_used",
    "revoked",
)


def _id() -> Column[uuid.UUID]:
    return Column("id", Uuid, primary_key=True)


def _time(name: str, *, nullable: bool = False, default: bool = False) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=NOW if default else None)


def _user(*, primary_key: bool = False) -> Column[uuid.UUID]:
    return Column(
        "user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, primary_key=primary_key
    )


def _one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


users = Table(
    "users",
    metadata,
    _id(),
    Column("email", Text, nullable=False, unique=True),
    Column("name", Text),
    Column("role", Text, nullable=False, server_default="viewer"),
    Column("password_hash", Text, nullable=False),
    _time("email_verified_at", nullable=True),
    _time("created_at", default=True),
    CheckConstraint("email = lower(email) AND length(email) BETWEEN 3 AND 254", name="email_normalised"),
    CheckConstraint("length(name) BETWEEN 1 AND 200", name="name_length"),
    CheckConstraint("password_hash LIKE '$argon2id$%'", name="password_hashed"),
    _one_of("role", ("viewer", "admin")),
    Index("ix_users_admins", "id", postgresql_where=text("role = 'admin'")),
)

sessions = Table(
    "sessions",
    metadata,
    _id(),
    _user(),
    Column("device_name", Text),
    Column("address", Text),
    _time("created_at", default=True),
    _time("last_used_at", default=True),
    _time("expires_at"),
    _time("revoked_at", nullable=True),
    CheckConstraint("expires_at > created_at", name="expires_later"),
    CheckConstraint("length(device_name) BETWEEN 1 AND 200", name="device_name_length"),
    Index("ix_sessions_user_id", "user_id", "last_used_at"),
    # What lib/database/retention.py looks for; so are the other indexes of one time alone.
    Index("ix_sessions_expires_at", "expires_at"),
    Index("ix_sessions_revoked_at", "revoked_at", postgresql_where=text("revoked_at IS NOT NULL")),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    # SHA-256 of the token: the token itself is never stored.
    Column("token_hash", LargeBinary, primary_key=True),
    Column("session_id", Uuid, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    _time("created_at", default=True),
    _time("expires_at"),
    _time("spent_at", nullable=True),
    # The token that followed, readable only with this token itself in hand: see lib/accounts/refreshing.py.
    Column("sealed_successor", LargeBinary),
    CheckConstraint("octet_length(token_hash) = 32", name="hash_length"),
    CheckConstraint("(spent_at IS NULL) = (sealed_successor IS NULL)", name="spent_whole"),
    # Deleting a session looks for its tokens.
    Index("ix_refresh_tokens_session_id", "session_id"),
    # A session has one live refresh token at most.
    Index("uq_refresh_tokens_live", "session_id", unique=True, postgresql_where=text("spent_at IS NULL")),
)

MAIL_KINDS = (
    "verification",
    "already_registered",
    "reset",
    "email_change",
    "email_changed",
    "password_changed",
    "new_device",
    "session_reuse",
)

mails = Table(
    "mails",
    metadata,
    _id(),
    # NULL: whoever has the address, if anybody has. Who asks for a mail by address learns nothing that way.
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE")),
    # Where it goes, if not to the account's own address. Forgotten, as the facts are, once it is settled.
    Column("email", Text),
    Column("kind", Text, nullable=False),
    Column("facts", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    # See lib/accounts/mailing.py and docs/decisions/0012-mail-at-most-once.md.
    Column("state", Text, nullable=False, server_default="waiting"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("enqueues", Integer, nullable=False, server_default="1"),
    # A code, never the server's words: they may repeat the address.
    Column("last_error", Text),
    _time("created_at", default=True),
    # When reconcile makes a task of it, unless it is on its way by then.
    _time("due_at"),
    _time("claimed_at", nullable=True),
    _time("settled_at", nullable=True),
    _one_of("kind", MAIL_KINDS),
    _one_of("state", ("waiting", "sending", "sent", "needless", "failed", "unknown")),
    CheckConstraint("(settled_at IS NULL) = (state IN ('waiting', 'sending'))", name="settled_whole"),
    CheckConstraint("state <> 'sending' OR claimed_at IS NOT NULL", name="sending_since"),
    CheckConstraint("settled_at IS NOT NULL OR user_id IS NOT NULL OR email IS NOT NULL", name="addressed"),
    CheckConstraint("settled_at IS NULL OR email IS NULL", name="address_forgotten"),
    Index("ix_mails_user_id", "user_id"),
    Index("ix_mails_due_at", "due_at", postgresql_where=text("state = 'waiting'")),
    Index("ix_mails_claimed_at", "claimed_at", postgresql_where=text("state = 'sending'")),
    Index("ix_mails_settled_at", "settled_at", postgresql_where=text("settled_at IS NOT NULL")),
)

links = Table(
    "links",
    metadata,
    # SHA-256 of the token in the mailed link: the token itself is never stored. Used, the row is gone.
    Column("token_hash", LargeBinary, primary_key=True),
    _user(),
    Column("purpose", Text, nullable=False),
    # The address to be. The other purposes are about the one the account has; a change ends them.
    Column("email", Text),
    _time("created_at", default=True),
    _time("expires_at"),
    _one_of("purpose", ("verify", "change", "reset")),
    CheckConstraint("(purpose = 'change') = (email IS NOT NULL)", name="change_to"),
    CheckConstraint("octet_length(token_hash) = 32", name="hash_length"),
    CheckConstraint("expires_at > created_at", name="expires_later"),
    Index("ix_links_user_id", "user_id"),
    Index("ix_links_expires_at", "expires_at"),
)

attempts = Table(
    "attempts",
    metadata,
    # What is counted and of whom, like "account:<hash of email>" or "register:<network>": equal for emails
    # that exist and that do not.
    Column("key", Text, primary_key=True),
    Column("count", Integer, nullable=False),
    _time("window_ends_at"),
    CheckConstraint("count >= 0", name="count_positive"),
    Index("ix_attempts_window_ends_at", "window_ends_at"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    _user(primary_key=True),
    Column("function", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request_hash", LargeBinary, nullable=False),
    Column("status", SmallInteger),
    Column("answer", JSONB),
    _time("created_at", default=True),
    # Whoever holds an unanswered key past this time is taken to be dead.
    _time("held_until"),
    CheckConstraint("length(key) BETWEEN 1 AND 255", name="key_length"),
    CheckConstraint("octet_length(request_hash) = 32", name="hash_length"),
    CheckConstraint("(status IS NULL) = (answer IS NULL)", name="answered_whole"),
    Index("ix_idempotency_keys_created_at", "created_at"),
)

billing_accounts = Table(
    "billing_accounts",
    metadata,
    _user(primary_key=True),
    Column("stripe_customer_id", Text, unique=True),
    Column("customer_deleted", Boolean, nullable=False, server_default=text("false")),
    _time("synced_at", nullable=True),
    _time("created_at", default=True),
    # A customer that is being made: the idempotency key, and when it was last begun. Empty once its id is known.
    Column("customer_attempt", Uuid),
    _time("customer_begun_at", nullable=True),
    CheckConstraint("(customer_attempt IS NULL) = (customer_begun_at IS NULL)", name="begun_whole"),
    CheckConstraint("NOT customer_deleted OR stripe_customer_id IS NOT NULL", name="deleted_was_there"),
)

checkouts = Table(
    "checkouts",
    metadata,
    Column("stripe_session_id", Text, primary_key=True),
    Column("user_id", Uuid, ForeignKey("billing_accounts.user_id", ondelete="CASCADE"), nullable=False),
    # Either a plan, or one film.
    Column("plan", Text),
    Column("video_id", Uuid, ForeignKey("videos.id", ondelete="CASCADE")),
    Column("promotion_code", Text),
    Column("state", Text, nullable=False, server_default="open"),
    Column("url", Text),
    _time("created_at", default=True),
    _time("expires_at"),
    CheckConstraint("(plan IS NULL) <> (video_id IS NULL)", name="one_wish"),
    _one_of("state", ("open", "complete", "expired")),
    CheckConstraint("state <> 'open' OR url IS NOT NULL", name="open_has_url"),
    # A double click, two tabs or two devices find the same open checkout.
    Index("uq_checkouts_open", "user_id", unique=True, postgresql_where=text("state = 'open'")),
    Index("ix_checkouts_user_id", "user_id", "created_at"),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("stripe_id", Text, primary_key=True),
    Column("user_id", Uuid, ForeignKey("billing_accounts.user_id", ondelete="CASCADE"), nullable=False),
    # NULL: a price that PLANS does not know; it opens nothing.
    Column("plan", Text),
    Column("price_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("cancel_at_period_end", Boolean, nullable=False),
    _time("cancel_at", nullable=True),
    _time("current_period_end"),
    _time("trial_end", nullable=True),
    _time("payment_missed_at", nullable=True),
    _time("created_at"),
    _time("synced_at", default=True),
    CheckConstraint("(status = 'past_due') = (payment_missed_at IS NOT NULL)", name="past_due_since"),
    Index("ix_subscriptions_user_id", "user_id"),
)

sold_prices = Table(
    "sold_prices",
    metadata,
    # Which plan a price sold when it was last met under a plan's lookup key. When prices change the key
    # moves to the new price; who pays the old one keeps what they bought.
    Column("price_id", Text, primary_key=True),
    Column("plan", Text, nullable=False),
)

entitlements = Table(
    "entitlements",
    metadata,
    Column("user_id", Uuid, ForeignKey("billing_accounts.user_id", ondelete="CASCADE"), primary_key=True),
    Column("plan", Text),
    Column("level", Integer, nullable=False),
    Column("streams", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    # Access ends here, whatever else happens. NULL with level 0: there is none.
    _time("until", nullable=True),
    _time("updated_at", default=True),
    _one_of("reason", ENTITLEMENT_REASONS),
    CheckConstraint("level >= 0 AND streams >= 0", name="not_negative"),
    CheckConstraint("(level > 0) = (until IS NOT NULL)", name="bounded"),
    CheckConstraint(
        "(level > 0) = (reason IN ('subscription', 'trial', 'grace', 'rental', 'purchase', 'gift', 'staff'))",
        name="reason_fits",
    ),
)

grants = Table(
    "grants",
    metadata,
    _id(),
    Column("user_id", Uuid, ForeignKey("billing_accounts.user_id", ondelete="CASCADE"), nullable=False),
    Column("source", Text, nullable=False),
    # The thing that gives: a subscription's or checkout session's id at Stripe, the hash of a gift code, or
    # what staff's command made up. One thing gives once, whoever asks how often.
    Column("source_id", Text, nullable=False),
    # Of one film: that film and no plan. Otherwise a level, and with it the films of it and below.
    Column("video_id", Uuid, ForeignKey("videos.id", ondelete="CASCADE")),
    Column("plan", Text),
    Column("level", Integer, nullable=False),
    Column("streams", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    _time("starts_at"),
    # NULL: never, which only a film that was bought has.
    _time("ends_at", nullable=True),
    # A rental begins to run out when it is first played: from then on it lasts so long, whatever ends_at was.
    Column("window_hours", Integer),
    _time("first_played_at", nullable=True),
    Column("withheld", Text),
    # What last changed it: an event, a function, somebody's command.
    Column("cause", Text, nullable=False),
    _time("created_at", default=True),
    _time("updated_at", default=True),
    UniqueConstraint("source", "source_id"),
    _one_of("source", GRANT_SOURCES),
    _one_of("reason", GRANT_REASONS),
    _one_of("withheld", WITHHELD),
    CheckConstraint("(video_id IS NOT NULL) = (source = 'purchase')", name="purchase_is_of_a_film"),
    CheckConstraint("video_id IS NULL OR (plan IS NULL AND level = 0)", name="film_or_level"),
    CheckConstraint("video_id IS NOT NULL OR ends_at IS NOT NULL", name="bounded"),
    CheckConstraint("video_id IS NOT NULL OR level > 0 OR withheld IS NOT NULL", name="gives_something"),
    CheckConstraint("(window_hours IS NOT NULL) = (reason = 'rental')", name="rental_has_a_window"),
    CheckConstraint("window_hours BETWEEN 1 AND 8760", name="window_range"),
    CheckConstraint("first_played_at IS NULL OR window_hours IS NOT NULL", name="played_is_rented"),
    CheckConstraint("level >= 0 AND streams >= 0", name="not_negative"),
    Index("ix_grants_user_id", "user_id"),
)

gift_codes = Table(
    "gift_codes",
    metadata,
    # SHA-256 of the code, which is random enough not to be guessed: the code itself is never stored.
    Column("code_hash", LargeBinary, primary_key=True),
    Column("plan", Text, nullable=False),
    Column("days", Integer, nullable=False),
    # Who made it, and what for.
    Column("made_by", Text, nullable=False),
    Column("note", Text),
    _time("created_at", default=True),
    # After this it cannot be redeemed any more.
    _time("expires_at", nullable=True),
    _time("redeemed_at", nullable=True),
    # NULL also after its redeemer deleted their account: it stays redeemed.
    Column("redeemed_by", Uuid, ForeignKey("users.id", ondelete="SET NULL")),
    CheckConstraint("octet_length(code_hash) = 32", name="hash_length"),
    CheckConstraint("days BETWEEN 1 AND 3660", name="days_range"),
    CheckConstraint("redeemed_by IS NULL OR redeemed_at IS NOT NULL", name="redeemed_by_somebody_once"),
    Index("ix_gift_codes_redeemed_by", "redeemed_by", postgresql_where=text("redeemed_by IS NOT NULL")),
)

trial_cards = Table(
    "trial_cards",
    metadata,
    # SHA-256 of Stripe's fingerprint of a card that a trial was begun with: one trial for a card, whoever
    # holds the account. It outlives the account, and says nothing about it.
    Column("card_hash", LargeBinary, primary_key=True),
    Column("subscription_id", Text, nullable=False),
    _time("created_at", default=True),
    CheckConstraint("octet_length(card_hash) = 32", name="hash_length"),
)

inbox = Table(
    "inbox",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    # Ids only: what else an event says is not trusted, and not kept.
    Column("object_id", Text),
    Column("customer_id", Text),
    Column("state", Text, nullable=False),
    # How often a task was made for it: part of the task's name.
    Column("enqueues", Integer, nullable=False),
    # How often it was tried to its own end, good or bad; an outage of others does not count.
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("last_error", Text),
    _time("received_at", default=True),
    _time("enqueued_at", default=True),
    _time("processed_at", nullable=True),
    # How often in a row a try was begun and came to no end at all: what began it was killed.
    Column("unfinished", Integer, nullable=False, server_default="0"),
    _one_of("state", ("received", "processed", "ignored", "dead")),
    CheckConstraint("unfinished >= 0", name="unfinished_counts"),
    # A dead one is not done: it waits for an operator, and retention leaves it alone.
    CheckConstraint("(state IN ('received', 'dead')) = (processed_at IS NULL)", name="processed_once"),
    CheckConstraint("enqueues >= 0 AND attempts >= 0", name="counts"),
    CheckConstraint("length(event_id) BETWEEN 1 AND 255", name="event_id_length"),
    Index("ix_inbox_left", "enqueued_at", postgresql_where=text("state = 'received'")),
    Index("ix_inbox_processed_at", "processed_at", postgresql_where=text("processed_at IS NOT NULL")),
    Index("ix_inbox_dead", "received_at", postgresql_where=text("state = 'dead'")),
)

walks = Table(
    "walks",
    metadata,
    # How far reconcile has come in a list at the provider that is too long for one call.
    Column("name", Text, primary_key=True),
    Column("position", JSONB, nullable=False),
    _time("updated_at", default=True),
)

denial_syncs = Table(
    "denial_syncs",
    metadata,
    # When somebody about to be refused last had their account synced first. Not in billing_accounts: its rows
    # are locked for as long as Stripe takes to answer.
    _user(primary_key=True),
    _time("asked_at"),
)

videos = Table(
    "videos",
    metadata,
    _id(),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("level", Integer, nullable=False),
    Column("published", Boolean, nullable=False),
    Column("status", Text, nullable=False, server_default="waiting"),
    Column("provider", Text, nullable=False),
    Column("upload_id", Text),
    Column("asset_id", Text),
    Column("playback_id", Text),
    Column("duration", Float),
    Column("error", Text),
    # Languages, as the provider names them.
    Column("captions", ARRAY(Text), nullable=False, server_default=text("'{}'::text[]")),
    Column("audio_languages", ARRAY(Text), nullable=False, server_default=text("'{}'::text[]")),
    # A film that is not listed is a trailer or the like: who has its id can watch it.
    Column("listed", Boolean, nullable=False, server_default=text("true")),
    _time("available_from", nullable=True),
    _time("available_until", nullable=True),
    # Anybody may watch the first so many seconds.
    Column("preview_seconds", Integer),
    Column("trailer_id", Uuid, ForeignKey("videos.id", ondelete="SET NULL")),
    Column("series", Text),
    Column("season", Integer),
    Column("episode", Integer),
    # What this one film costs by itself, in the currency's smallest unit; NULL: it is not sold by itself.
    Column("price_amount", Integer),
    Column("price_currency", Text),
    # How long it may be watched once it was begun; NULL: it is bought for good.
    Column("rental_hours", Integer),
    Column("created_by", Uuid, ForeignKey("users.id", ondelete="SET NULL")),
    _time("created_at", default=True),
    _time("updated_at", default=True),
    # When somebody last set out to ask the provider about it.
    _time("checked_at", nullable=True),
    # Deleted for everybody; gone from the provider at `purge_at`, or soon after: then `purged_at`.
    _time("deleted_at", nullable=True),
    _time("purge_at", nullable=True),
    _time("purged_at", nullable=True),
    Column(
        "search",
        TSVECTOR,
        Computed(
            "setweight(to_tsvector('simple', title || ' ' || coalesce(series, '')), 'A') || "
            "setweight(to_tsvector('simple', description), 'B')",
            persisted=True,
        ),
    ),
    _one_of("status", ("waiting", "processing", "ready", "errored", "removed")),
    _one_of("provider", ("mux", "cloudflare")),
    CheckConstraint("length(title) BETWEEN 1 AND 200", name="title_length"),
    CheckConstraint("level BETWEEN 0 AND 1000", name="level_range"),
    CheckConstraint(
        "status <> 'ready' OR (asset_id IS NOT NULL AND playback_id IS NOT NULL AND duration > 0)",
        name="ready_is_playable",
    ),
    CheckConstraint("available_until > available_from", name="available_some_time"),
    CheckConstraint("preview_seconds BETWEEN 1 AND 86400", name="preview_range"),
    CheckConstraint("trailer_id <> id", name="trailer_of_another"),
    CheckConstraint("length(series) BETWEEN 1 AND 200", name="series_length"),
    CheckConstraint("season BETWEEN 0 AND 10000 AND episode BETWEEN 0 AND 100000", name="episode_range"),
    CheckConstraint("series IS NOT NULL OR (season IS NULL AND episode IS NULL)", name="episode_of_a_series"),
    CheckConstraint("(deleted_at IS NULL) = (purge_at IS NULL)", name="deleted_is_purged"),
    CheckConstraint("purged_at IS NULL OR deleted_at IS NOT NULL", name="purged_was_deleted"),
    CheckConstraint("price_amount > 0", name="price_positive"),
    CheckConstraint("price_currency ~ '^[a-z]{3}$'", name="currency_form"),
    CheckConstraint("(price_amount IS NULL) = (price_currency IS NULL)", name="price_whole"),
    CheckConstraint("rental_hours BETWEEN 1 AND 8760", name="rental_range"),
    CheckConstraint("rental_hours IS NULL OR price_amount IS NOT NULL", name="rental_has_a_price"),
    UniqueConstraint("provider", "upload_id"),
    UniqueConstraint("provider", "asset_id"),
    UniqueConstraint("provider", "playback_id"),
    # What list-videos looks through: newest first, of one level, of one series.
    Index("ix_videos_shown", "created_at", "id", postgresql_where=text(SHOWN)),
    Index("ix_videos_level", "level", "created_at", "id", postgresql_where=text(SHOWN)),
    Index("ix_videos_series", "series", postgresql_where=text(SHOWN)),
    # By words, in what is shown and in what admins look through.
    Index("ix_videos_search", "search", postgresql_using="gin", postgresql_where=text(_MANAGED)),
    # What admins look through.
    Index(
        "ix_videos_managed",
        "created_at",
        "id",
        postgresql_where=text(_MANAGED),
    ),
    # What reconcile looks for.
    Index(
        "ix_videos_unfinished",
        text("coalesce(checked_at, updated_at)"),
        postgresql_where=text("status IN ('waiting', 'processing') AND deleted_at IS NULL"),
    ),
    Index(
        "ix_videos_ready",
        text("checked_at NULLS FIRST"),
        postgresql_where=text("status = 'ready' AND deleted_at IS NULL"),
    ),
    Index(
        "ix_videos_purge_at",
        "purge_at",
        postgresql_where=text("deleted_at IS NOT NULL AND purged_at IS NULL"),
    ),
    Index("ix_videos_created_by", "created_by", postgresql_where=text("created_by IS NOT NULL")),
)

title_words = Table(
    "title_words",
    metadata,
    # Each word that is or was in a title or a series, kept by a trigger: what mistyped words are corrected to. Far
    # fewer than titles, so that looking for likeness is quick.
    Column("word", Text, primary_key=True),
    Index("ix_title_words_alike", "word", postgresql_using="gin", postgresql_ops={"word": "gin_trgm_ops"}),
)

playback_sessions = Table(
    "playback_sessions",
    metadata,
    _id(),
    _user(),
    # NULL: of a login that is long over. How far the user got outlives it.
    Column("session_id", Uuid, ForeignKey("sessions.id", ondelete="SET NULL")),
    Column("video_id", Uuid, ForeignKey("videos.id", ondelete="CASCADE"), nullable=False),
    Column("position", Float, nullable=False, server_default="0"),
    _time("started_at", default=True),
    # When it was opened, or last told its position. NULL: before this was noted; then the lease's end tells.
    _time("heard_at", nullable=True),
    # The lease: the stream counts until then.
    _time("expires_at"),
    # By its viewer, or by another screen that took its place. NULL after mere silence.
    _time("stopped_at", nullable=True),
    UniqueConstraint("session_id", "video_id"),
    CheckConstraint("position >= 0", name="position_positive"),
    CheckConstraint("expires_at <= stopped_at", name="stopped_is_over"),
    Index("ix_playback_sessions_user_id", "user_id", "expires_at"),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _time("at", default=True),
    Column("kind", Text, nullable=False),
    # No foreign key: what happened outlives whom it happened to.
    Column("user_id", Uuid),
    Column("actor", Text, nullable=False),
    Column("detail", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    # From where, for a while: the one thing of a line that can be forgotten, see docs/decisions/0014.
    Column("address", Text),
    Index("ix_audit_log_user_id", "user_id", "at"),
    Index("ix_audit_log_placed", "at", postgresql_where=text("address IS NOT NULL")),
)

closures = Table(
    "closures",
    metadata,
    # Of an account that is gone, while something of it is left to end at Stripe. No foreign key: that is the point.
    Column("user_id", Uuid, primary_key=True),
    Column("stripe_customer_id", Text),
    # How often a task was made for it: part of the task's name.
    Column("enqueues", Integer, nullable=False, server_default="1"),
    _time("enqueued_at", default=True),
    _time("created_at", default=True),
    # A customer may have been made then whose id was never known.
    _time("customer_begun_at", nullable=True),
    CheckConstraint("enqueues > 0", name="enqueued"),
    CheckConstraint("stripe_customer_id IS NOT NULL OR customer_begun_at IS NOT NULL", name="something_left"),
    Index("ix_closures_enqueued_at", "enqueued_at"),
)
