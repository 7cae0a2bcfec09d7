-- Somebody is still watching: keeps the position, then asks open_playback again, which checks the right to
-- watch and renews the lease; or, with p_stop, ends the lease. One call, one round trip.
--
-- outcome: as open_playback's, or playback_session_not_found | stopped
CREATE FUNCTION heartbeat(
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
           expires_at = CASE WHEN p_stop THEN LEAST(ps.expires_at, now()) ELSE ps.expires_at END
     WHERE ps.id = p_playback_session_id
       AND ps.session_id = p_session_id AND ps.user_id = p_user_id
    RETURNING ps.video_id INTO video_id;
    IF NOT FOUND THEN outcome := 'playback_session_not_found'; RETURN; END IF;
    IF p_stop THEN outcome := 'stopped'; RETURN; END IF;

    SELECT * INTO v_found
      FROM open_playback(p_session_id, p_user_id, video_id, NULL, p_lease_seconds);
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
