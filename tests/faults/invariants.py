"""What is true of the database at any moment, whoever died when: each query finds what breaks it.

Beside these stand the constraints of lib/database/schema.py, which the database itself insists on.
"""

from sqlalchemy import text

from lib.database.engine import Database

INVARIANTS = {
    "who has access has a grant that gives it": """
        SELECT e.user_id FROM entitlements e WHERE e.level > 0 AND NOT EXISTS (
            SELECT FROM grants g WHERE g.user_id = e.user_id AND g.withheld IS NULL
            AND g.level = e.level AND g.ends_at = e.until)""",
    "who has a grant that gives something has access": """
        SELECT g.user_id FROM grants g WHERE g.withheld IS NULL AND g.level > 0
        AND g.starts_at <= now() AND g.ends_at > now() AND NOT EXISTS (
            SELECT FROM entitlements e WHERE e.user_id = g.user_id
            AND (e.level > g.level OR (e.level = g.level AND e.until >= g.ends_at)))""",
    "a subscription that lives has its grant": """
        SELECT s.stripe_id FROM subscriptions s WHERE s.status IN ('active', 'trialing') AND s.plan IS NOT NULL
        AND NOT EXISTS (SELECT FROM grants g WHERE g.source = 'subscription' AND g.source_id = s.stripe_id)""",
    "a grant of a subscription has that subscription": """
        SELECT g.id FROM grants g WHERE g.source = 'subscription' AND NOT EXISTS (
            SELECT FROM subscriptions s WHERE s.stripe_id = g.source_id AND s.user_id = g.user_id)""",
    "a code that was redeemed gave its days to who redeemed it": """
        SELECT c.redeemed_by FROM gift_codes c WHERE c.redeemed_by IS NOT NULL AND NOT EXISTS (
            SELECT FROM grants g WHERE g.source = 'gift' AND g.source_id = encode(c.code_hash, 'hex')
            AND g.user_id = c.redeemed_by)""",
    "a grant of a gift has its code redeemed": """
        SELECT g.id FROM grants g WHERE g.source = 'gift' AND NOT EXISTS (
            SELECT FROM gift_codes c WHERE encode(c.code_hash, 'hex') = g.source_id AND c.redeemed_at IS NOT NULL)""",
    "whoever opened a page has a customer": """
        SELECT c.stripe_session_id FROM checkouts c JOIN billing_accounts b USING (user_id)
        WHERE b.stripe_customer_id IS NULL""",
    "a login that lives can be refreshed": """
        SELECT s.id FROM sessions s WHERE s.revoked_at IS NULL AND s.expires_at > now() AND NOT EXISTS (
            SELECT FROM refresh_tokens r WHERE r.session_id = s.id AND r.spent_at IS NULL)""",
    "an ended login holds no stream": """
        SELECT p.id FROM playback_sessions p JOIN sessions s ON s.id = p.session_id
        WHERE s.revoked_at IS NOT NULL AND p.expires_at > now() AND p.stopped_at IS NULL""",
    "the same change is noted once": """
        SELECT a.user_id FROM (
            SELECT user_id, detail, lag(detail) OVER (PARTITION BY user_id ORDER BY id) AS before
            FROM audit_log WHERE kind = 'entitlement_changed') a WHERE a.detail = a.before""",
    "every account's beginning is noted": """
        SELECT u.id FROM users u WHERE u.role = 'viewer' AND NOT EXISTS (
            SELECT FROM audit_log a WHERE a.user_id = u.id AND a.kind = 'registered')""",
    "what is closed is nobody's": "SELECT c.user_id FROM closures c JOIN users u ON u.id = c.user_id",
    "nothing of an account that is gone": """
        SELECT b.user_id FROM billing_accounts b LEFT JOIN users u ON u.id = b.user_id WHERE u.id IS NULL""",
    "no customer is two accounts'": """
        SELECT stripe_customer_id FROM closures JOIN billing_accounts USING (stripe_customer_id)""",
    "a film that is gone is watched by nobody": """
        SELECT v.id FROM videos v WHERE v.purged_at IS NOT NULL AND v.deleted_at IS NULL""",
    "nothing waits in a transaction": """
        SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'
        AND state_change < now() - interval '5 s'""",
}


def broken(database: Database) -> dict[str, list[object]]:
    """The invariants that do not hold, and what breaks them."""
    found: dict[str, list[object]] = {}
    with database.transaction() as tx:
        for name, query in INVARIANTS.items():
            rows = tx.execute(text(query)).scalars().all()
            if rows:
                found[name] = list(rows)
    return found
