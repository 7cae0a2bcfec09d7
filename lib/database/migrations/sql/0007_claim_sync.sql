-- Is a sync worth its call before this user is refused a film? True for somebody with an open or recent checkout,
-- once in 20 seconds: whoever is told true has to ask for it.
--
-- Its own table, not the billing row: that is locked while an account is being synced, and no viewer waits for it.
CREATE FUNCTION claim_sync(p_user_id uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM checkouts c
      WHERE c.user_id = p_user_id
        AND (c.created_at > now() - interval '15 minutes'
             OR (c.state = 'open' AND c.expires_at > now() - interval '15 minutes'))
      LIMIT 1;
    IF NOT FOUND THEN RETURN false; END IF;

    INSERT INTO denial_syncs AS d (user_id, asked_at) VALUES (p_user_id, clock_timestamp())
    ON CONFLICT (user_id) DO UPDATE SET asked_at = excluded.asked_at
     WHERE d.asked_at < clock_timestamp() - interval '20 seconds';
    RETURN FOUND;
END $$;
