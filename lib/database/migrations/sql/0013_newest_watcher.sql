-- Both functions whole; what is new is heard_at, by which the newest watcher's position wins, and that a film whose
-- provider is not set up takes no lease.
--
-- Where somebody was last used to be told by the end of the leases. A screen that was back after a silence was overtaken
-- by one whose lease ran on, and so was one that stopped: its lease ends at once.

-- May this login watch this video now, and with which lease? One call, one round trip, one answer.
--
-- A function and not a query, because counting streams needs a lock first and a fresh snapshot after it:
-- under READ COMMITTED each statement in here sees what was committed before that statement began.
--
-- outcome: allowed | invalid_token | video_not_found | subscription_required | plan_upgrade_required
--          | video_not_ready | provider_missing | too_many_streams (then `playing` says what is on)
CREATE FUNCTION open_playback(
    p_session_id uuid,
    p_user_id uuid,
    p_video_id uuid,        -- NULL: the id was no UUID, so there is no such video
    p_takeover uuid,        -- another playback session of this user to end, or NULL
    p_lease_seconds integer,
    p_providers text[],     -- those that are set up; NULL: all
    OUT outcome text,
    OUT playback_session_id uuid,
    OUT provider text,
    OUT playback_id text,
    OUT duration double precision,
    OUT "position" double precision,
    OUT plan text,
    OUT reason text,
    OUT until timestamptz,
    OUT playing jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    v_role text;
    v_video videos%ROWTYPE;
    v_right entitlements%ROWTYPE;
    v_grant grants%ROWTYPE;
    v_streams integer;
    v_now timestamptz;
    v_lease_ends timestamptz;
BEGIN
    SELECT u.role INTO v_role
      FROM sessions s JOIN users u ON u.id = s.user_id
     WHERE s.id = p_session_id AND s.user_id = p_user_id
       AND s.revoked_at IS NULL AND s.expires_at > now();
    IF NOT FOUND THEN outcome := 'invalid_token'; RETURN; END IF;

    SELECT * INTO v_video FROM videos
     WHERE id = p_video_id AND status <> 'removed' AND deleted_at IS NULL;
    IF NOT FOUND OR NOT (
        v_role = 'admin'
        OR (v_video.published
            AND (v_video.available_from IS NULL OR v_video.available_from <= now())
            AND (v_video.available_until IS NULL OR v_video.available_until > now()))
    ) THEN
        outcome := 'video_not_found'; RETURN;
    END IF;

    SELECT * INTO v_right FROM entitlements WHERE user_id = p_user_id;
    -- What a plan gives is given only before its end.
    IF v_right.until > now() THEN
        plan := v_right.plan; reason := v_right.reason; until := v_right.until;
        v_streams := v_right.streams;
    ELSE
        reason := CASE WHEN v_right.user_id IS NULL THEN 'none'
                       WHEN v_right.reason = 'grace' THEN 'payment_failed'
                       WHEN v_right.level > 0 THEN 'expired'
                       ELSE v_right.reason END;
        v_right.level := 0;
        v_streams := 1;
    END IF;

    IF v_role = 'admin' THEN
        reason := 'staff'; plan := NULL; until := NULL; v_streams := NULL;
    ELSIF v_video.level = 0 THEN
        -- Free whatever becomes of the plan, so the plan's end does not end it.
        IF v_right.level = 0 THEN reason := 'free'; ELSE until := NULL; END IF;
    ELSIF v_right.level < v_video.level THEN
        -- A plan before the film itself: a rental is not begun without need. Of each the best, as in
        -- lib/billing/entitlement.py.
        SELECT * INTO v_grant FROM grants g
         WHERE g.user_id = p_user_id AND g.withheld IS NULL
           AND g.starts_at <= now() AND (g.ends_at > now() OR g.ends_at IS NULL)
           AND (g.video_id = p_video_id OR (g.video_id IS NULL AND g.level >= v_video.level))
         ORDER BY g.video_id NULLS FIRST, g.level DESC, g.ends_at DESC NULLS FIRST, g.first_played_at,
                  g.streams DESC, g.source_id COLLATE "C" DESC
         LIMIT 1;
        IF NOT FOUND THEN
            outcome := CASE WHEN v_right.level > 0 THEN 'plan_upgrade_required'
                            ELSE 'subscription_required' END;
            IF reason = 'none' THEN
                -- Who once had just this film hears what became of it.
                SELECT COALESCE(g.withheld, 'expired') INTO reason FROM grants g
                 WHERE g.user_id = p_user_id AND g.video_id = p_video_id
                 ORDER BY g.starts_at DESC, g.id LIMIT 1;
                reason := COALESCE(reason, 'none');
            END IF;
            RETURN;
        END IF;
        plan := v_grant.plan; reason := v_grant.reason; until := v_grant.ends_at;
        v_streams := GREATEST(v_streams, v_grant.streams);
    END IF;

    IF v_video.status <> 'ready' THEN outcome := 'video_not_ready'; RETURN; END IF;
    -- Before a lease is taken or a rental begins: nobody could sign what would be watched.
    IF v_video.provider <> ALL (p_providers) THEN outcome := 'provider_missing'; RETURN; END IF;

    -- One at a time for each user, renewals and takeovers too: a lease that ends must not be renewed by
    -- one while another counts it as gone. Not the billing row: a slow sync must stop nobody's film.
    PERFORM pg_advisory_xact_lock(hashtextextended('streams:' || p_user_id::text, 0));
    -- Not now(): that is when the call began, and it may have waited for its turn since.
    v_now := clock_timestamp();
    v_lease_ends := v_now + make_interval(secs => p_lease_seconds);

    IF p_takeover IS NOT NULL THEN
        UPDATE playback_sessions ps SET expires_at = v_now, stopped_at = v_now
         WHERE ps.id = p_takeover AND ps.user_id = p_user_id
           AND NOT (ps.session_id = p_session_id AND ps.video_id = p_video_id);
    END IF;

    -- The same login asking again for the same film renews the lease it has.
    UPDATE playback_sessions ps SET expires_at = v_lease_ends, stopped_at = NULL
     WHERE ps.session_id = p_session_id AND ps.video_id = p_video_id AND ps.expires_at > v_now
    RETURNING ps.id, ps."position" INTO playback_session_id, "position";

    IF NOT FOUND THEN
        SELECT jsonb_agg(jsonb_build_object(
                   'session_id', ps.id,
                   'device_name', s.device_name,
                   'title', v.title,
                   'since', to_char(ps.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
               ) ORDER BY ps.started_at)
          INTO playing
          FROM playback_sessions ps
          JOIN sessions s ON s.id = ps.session_id
          JOIN videos v ON v.id = ps.video_id
         WHERE ps.user_id = p_user_id AND ps.expires_at > v_now
           AND s.revoked_at IS NULL
           AND NOT (ps.session_id = p_session_id AND ps.video_id = p_video_id);
        IF jsonb_array_length(playing) >= v_streams THEN
            outcome := 'too_many_streams'; RETURN;
        END IF;
        playing := NULL;
        -- Where they were when it was last heard of, on any of their screens.
        SELECT ps."position" INTO "position" FROM playback_sessions ps
         WHERE ps.user_id = p_user_id AND ps.video_id = p_video_id
         ORDER BY COALESCE(ps.heard_at, LEAST(ps.expires_at, v_now)) DESC LIMIT 1;
        INSERT INTO playback_sessions
            (id, user_id, session_id, video_id, "position", started_at, heard_at, expires_at)
        VALUES
            (gen_random_uuid(), p_user_id, p_session_id, p_video_id, COALESCE("position", 0), v_now, v_now,
             v_lease_ends)
        ON CONFLICT (session_id, video_id)
        DO UPDATE SET "position" = EXCLUDED."position", started_at = v_now, heard_at = v_now,
                      expires_at = v_lease_ends, stopped_at = NULL
        RETURNING id, playback_sessions."position" INTO playback_session_id, "position";
    END IF;

    -- From here on the rental runs out.
    IF v_grant.window_hours IS NOT NULL AND v_grant.first_played_at IS NULL THEN
        UPDATE grants g
           SET first_played_at = v_now, ends_at = v_now + make_interval(hours => g.window_hours),
               updated_at = v_now
         WHERE g.id = v_grant.id AND g.first_played_at IS NULL
        RETURNING g.ends_at INTO until;
        -- Begun by another screen in the meantime.
        IF NOT FOUND THEN SELECT g.ends_at INTO until FROM grants g WHERE g.id = v_grant.id; END IF;
    END IF;

    -- The film is gone for them when it is no longer to be had, whatever else they may watch.
    IF v_role <> 'admin' THEN until := LEAST(until, v_video.available_until); END IF;

    outcome := 'allowed';
    provider := v_video.provider;
    playback_id := v_video.playback_id;
    duration := v_video.duration;
END $$;

-- Somebody is still watching: keeps the position, then asks open_playback again, which checks the right to
-- watch and renews the lease; or, with p_stop, ends the lease. One call, one round trip.
--
-- A lease that fell silent comes back by this, if there is room. One that was stopped or taken over does not:
-- a heartbeat under way would undo a stop, and two screens would take one place from each other in turns. Its
-- owner asks open_playback for it.
--
-- outcome: as open_playback's, or playback_session_not_found | stopped
CREATE FUNCTION heartbeat(
    p_session_id uuid,
    p_user_id uuid,
    p_playback_session_id uuid,
    p_position double precision,
    p_stop boolean,
    p_lease_seconds integer,
    p_providers text[],
    OUT video_id uuid,
    OUT outcome text,
    OUT playback_session_id uuid,
    OUT provider text,
    OUT playback_id text,
    OUT duration double precision,
    OUT "position" double precision,
    OUT plan text,
    OUT reason text,
    OUT until timestamptz,
    OUT playing jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    v_found record;
BEGIN
    PERFORM FROM sessions s
      WHERE s.id = p_session_id AND s.user_id = p_user_id
        AND s.revoked_at IS NULL AND s.expires_at > now();
    IF NOT FOUND THEN outcome := 'invalid_token'; RETURN; END IF;

    -- open_playback's lock, taken before any row is touched: the other way round two calls could each
    -- wait for what the other holds.
    PERFORM pg_advisory_xact_lock(hashtextextended('streams:' || p_user_id::text, 0));
    UPDATE playback_sessions ps
       SET "position" = p_position,
           heard_at = clock_timestamp(),
           expires_at = CASE WHEN p_stop THEN LEAST(ps.expires_at, now()) ELSE ps.expires_at END,
           stopped_at = CASE WHEN p_stop THEN COALESCE(ps.stopped_at, now()) END
     WHERE ps.id = p_playback_session_id
       AND ps.session_id = p_session_id AND ps.user_id = p_user_id
       AND (p_stop OR ps.stopped_at IS NULL)
    RETURNING ps.video_id INTO video_id;
    IF NOT FOUND THEN outcome := 'playback_session_not_found'; RETURN; END IF;
    IF p_stop THEN outcome := 'stopped'; RETURN; END IF;

    SELECT * INTO v_found
      FROM open_playback(p_session_id, p_user_id, video_id, NULL, p_lease_seconds, p_providers);
    outcome := v_found.outcome;
    playback_session_id := v_found.playback_session_id;
    provider := v_found.provider;
    playback_id := v_found.playback_id;
    duration := v_found.duration;
    "position" := v_found."position";
    plan := v_found.plan;
    reason := v_found.reason;
    until := v_found.until;
    playing := v_found.playing;
END $$;

-- As code of before calls them, and would find them when this release is taken back.
CREATE OR REPLACE FUNCTION open_playback(
    p_session_id uuid,
    p_user_id uuid,
    p_video_id uuid,
    p_takeover uuid,
    p_lease_seconds integer,
    OUT outcome text,
    OUT playback_session_id uuid,
    OUT provider text,
    OUT playback_id text,
    OUT duration double precision,
    OUT "position" double precision,
    OUT plan text,
    OUT reason text,
    OUT until timestamptz,
    OUT playing jsonb
) LANGUAGE sql AS $$
    SELECT * FROM open_playback(p_session_id, p_user_id, p_video_id, p_takeover, p_lease_seconds, NULL::text[])
$$;

CREATE OR REPLACE FUNCTION heartbeat(
    p_session_id uuid,
    p_user_id uuid,
    p_playback_session_id uuid,
    p_position double precision,
    p_stop boolean,
    p_lease_seconds integer,
    OUT video_id uuid,
    OUT outcome text,
    OUT playback_session_id uuid,
    OUT provider text,
    OUT playback_id text,
    OUT duration double precision,
    OUT "position" double precision,
    OUT plan text,
    OUT reason text,
    OUT until timestamptz,
    OUT playing jsonb
) LANGUAGE sql AS $$
    SELECT * FROM heartbeat(
        p_session_id, p_user_id, p_playback_session_id, p_position, p_stop, p_lease_seconds, NULL::text[])
$$;
