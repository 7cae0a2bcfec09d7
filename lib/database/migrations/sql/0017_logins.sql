-- What login and register ask, one call before a password is hashed and one after it. Each call is one round trip
-- and one commit, and bears being run twice: its connection may be lost before its answer comes, while it goes on.
--
-- Functions and not queries, because each row is looked at after the lock before it was had: under READ COMMITTED each
-- statement in here sees what was committed before that statement began.

-- What a network address is counted as. The same as `network` in lib/accounts/addresses.py, which a test holds it to.
CREATE FUNCTION network_of(p_address text) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_bare text := split_part(p_address, '%', 1);
    v_found inet;
BEGIN
    -- An IPv4 address counts as itself and is written in one way only. What is no address counts as itself too; inet
    -- takes some of that for one: with a mask, or with less than four numbers at its end.
    IF p_address !~ '^[0-9A-Fa-f:]*:([0-9A-Fa-f]*|\d+\.\d+\.\d+\.\d+)(%[^%/]+)?$'
       OR NOT pg_input_is_valid(v_bare, 'inet') THEN
        RETURN p_address;
    END IF;
    v_found := v_bare::inet;
    IF v_found <<= inet '::ffff:0:0/96' THEN RETURN substr(host(v_found), length('::ffff:') + 1); END IF;
    RETURN network(set_masklen(v_found, 64))::text;
END $$;

-- Counts one more attempt under each key, up to the first that is over its limit: `refused_by` is its place, from 1.
-- The keys that follow are not counted, and have no row made for them.
CREATE FUNCTION count_attempts(
    p_keys text[],
    p_limits integer[],
    p_window interval,
    OUT refused_by integer,
    OUT seconds_left double precision
) LANGUAGE plpgsql AS $$
DECLARE
    v_tries integer;
    v_left double precision;
BEGIN
    FOR place IN 1 .. cardinality(p_keys) LOOP
        INSERT INTO attempts AS a (key, count, window_ends_at)
        VALUES (p_keys[place], 1, now() + p_window)
        ON CONFLICT (key) DO UPDATE
           SET count = CASE WHEN a.window_ends_at <= now() THEN 1 ELSE a.count + 1 END,
               window_ends_at = CASE WHEN a.window_ends_at <= now() THEN now() + p_window
                                     ELSE a.window_ends_at END
        RETURNING a.count, extract(epoch FROM a.window_ends_at - now()) INTO v_tries, v_left;
        IF v_tries > p_limits[place] THEN refused_by := place; seconds_left := v_left; RETURN; END IF;
    END LOOP;
END $$;

-- A login is being tried: counts it, and finds whose password is to be verified, if anybody's.
--
-- The network first, and no row for the account if that is over: strangers could name a new one each time. Where the
-- account was used lately it is counted apart from everywhere else.
CREATE FUNCTION try_login(
    p_email text,
    p_network text,
    p_network_key text,
    p_account_key text,
    p_home_key text,
    p_network_limit integer,
    p_account_limit integer,
    p_window interval,
    OUT counted_key text,
    OUT seconds_left double precision,  -- NULL: not refused
    OUT id uuid,                        -- NULL: nobody's
    OUT email text,
    OUT name text,
    OUT role text,
    OUT password_hash text,
    OUT email_verified_at timestamptz,
    OUT created_at timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid;
BEGIN
    SELECT u.id INTO v_id FROM users u WHERE u.email = p_email;
    -- By its id and not by a join: to join well, the planner would have to know how many sessions have an address.
    counted_key := CASE WHEN EXISTS (
        SELECT FROM (
            SELECT s.address FROM sessions s WHERE s.user_id = v_id AND s.address IS NOT NULL
             ORDER BY s.last_used_at DESC LIMIT 100
        ) lately WHERE network_of(lately.address) = p_network
    ) THEN p_home_key ELSE p_account_key END;

    SELECT c.seconds_left INTO seconds_left
      FROM count_attempts(
          ARRAY[p_network_key, counted_key], ARRAY[p_network_limit, p_account_limit], p_window) c;
    IF seconds_left IS NOT NULL THEN RETURN; END IF;

    -- Only now: counting may have waited for somebody who changed it.
    SELECT u.id, u.email, u.name, u.role, u.password_hash, u.email_verified_at, u.created_at
      INTO id, email, name, role, password_hash, email_verified_at, created_at
      FROM users u WHERE u.id = v_id;
END $$;

-- A login with its first refresh token, of which the hash is kept.
CREATE FUNCTION add_session(
    p_session_id uuid,
    p_user_id uuid,
    p_device_name text,
    p_address text,
    p_expires_at timestamptz,
    p_token_hash bytea,
    p_token_expires_at timestamptz
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sessions (id, user_id, device_name, address, expires_at)
    VALUES (p_session_id, p_user_id, p_device_name, p_address, p_expires_at);
    INSERT INTO refresh_tokens (token_hash, session_id, expires_at)
    VALUES (p_token_hash, p_session_id, p_token_expires_at);
END $$;

-- The password was verified: begins the login, unless the account is another one by now.
--
-- p_forgiven_keys: forgiven in this order, which is the one in which they are counted, so that two logins cannot wait
-- for each other.
--
-- outcome: begun | unknown | changed | not_verified
CREATE FUNCTION begin_login(
    p_email text,
    p_password_hash text,       -- the one that was verified
    p_newer_hash text,          -- NULL: that one is as good as a new one
    p_verified_only boolean,
    p_network_key text,
    p_forgiven_keys text[],
    p_address text,
    p_network text,
    p_device_name text,
    p_mail_id uuid,
    p_mail_facts jsonb,
    p_session_id uuid,
    p_expires_at timestamptz,
    p_token_hash bytea,
    p_token_expires_at timestamptz,
    OUT outcome text
) LANGUAGE plpgsql AS $$
DECLARE
    v_user users%ROWTYPE;
    v_key text;
    v_is_new_device boolean;
BEGIN
    -- What was verified must still hold: a new password ends all logins, so none may begin with the old.
    SELECT * INTO v_user FROM users u WHERE u.email = p_email FOR NO KEY UPDATE;
    IF NOT FOUND THEN outcome := 'unknown'; RETURN; END IF;
    -- Only after the lock: this call may have run before, and then has ended by now.
    PERFORM FROM sessions s WHERE s.id = p_session_id;
    IF FOUND THEN outcome := 'begun'; RETURN; END IF;
    IF v_user.password_hash NOT IN (p_password_hash, COALESCE(p_newer_hash, p_password_hash)) THEN
        outcome := 'changed'; RETURN;
    END IF;

    -- The account before its attempts, as reset-password does. It starts anew, the network gets its one attempt back.
    UPDATE attempts a SET count = a.count - 1 WHERE a.key = p_network_key AND a.count > 0;
    FOREACH v_key IN ARRAY p_forgiven_keys LOOP
        DELETE FROM attempts a WHERE a.key = v_key;
    END LOOP;
    IF p_newer_hash IS NOT NULL THEN
        UPDATE users u SET password_hash = p_newer_hash WHERE u.id = v_user.id;
    END IF;
    IF p_verified_only AND v_user.email_verified_at IS NULL THEN outcome := 'not_verified'; RETURN; END IF;

    INSERT INTO audit_log (kind, user_id, actor, address)
    VALUES ('logged_in', v_user.id, 'user:' || v_user.id, p_address);
    -- Whether nothing about it was there before, neither the device's name nor the network. The first login of an
    -- account is nobody's surprise.
    SELECT count(*) > 0
           AND NOT COALESCE(bool_or(seen.device_name = p_device_name), false)
           AND NOT COALESCE(bool_or(network_of(seen.address) = p_network), false)
      INTO v_is_new_device
      FROM (SELECT DISTINCT s.device_name, s.address FROM sessions s WHERE s.user_id = v_user.id LIMIT 1000) seen;
    IF v_is_new_device THEN
        -- Nobody waits for it: reconcile makes its task.
        INSERT INTO mails (id, user_id, kind, facts, due_at)
        VALUES (p_mail_id, v_user.id, 'new_device', p_mail_facts, now());
    END IF;
    PERFORM add_session(
        p_session_id, v_user.id, p_device_name, p_address, p_expires_at, p_token_hash, p_token_expires_at);
    outcome := 'begun';
END $$;

-- The password is hashed: a new account, the mail that verifies its address, and its first login.
--
-- With p_verified_only no login, and the same statements for an address that has an account: they take the same time,
-- and another mail is all that differs.
--
-- outcome: registered | taken | gone (while this waited for it)
CREATE FUNCTION register_account(
    p_user_id uuid,
    p_email text,
    p_name text,
    p_password_hash text,
    p_verified_only boolean,
    p_address text,
    p_mail_id uuid,
    p_mail_due_in interval,
    p_session_id uuid,
    p_expires_at timestamptz,
    p_token_hash bytea,
    p_token_expires_at timestamptz,
    OUT outcome text,
    OUT id uuid,
    OUT email text,
    OUT name text,
    OUT role text,
    OUT email_verified_at timestamptz,
    OUT created_at timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
    v_user users%ROWTYPE;
    v_is_new boolean;
BEGIN
    -- Of whatever conflict: this call may have run before, and then the id is there too.
    INSERT INTO users (id, email, name, password_hash) VALUES (p_user_id, p_email, p_name, p_password_hash)
    ON CONFLICT DO NOTHING;
    IF p_verified_only THEN
        -- Locked: else it could go before its mail is put.
        SELECT * INTO v_user FROM users u WHERE u.email = p_email FOR NO KEY UPDATE;
        IF NOT FOUND THEN outcome := 'gone'; RETURN; END IF;
    ELSE
        SELECT * INTO v_user FROM users u WHERE u.id = p_user_id;
        IF NOT FOUND THEN outcome := 'taken'; RETURN; END IF;
    END IF;
    outcome := 'registered';
    id := v_user.id; email := v_user.email; name := v_user.name; role := v_user.role;
    email_verified_at := v_user.email_verified_at; created_at := v_user.created_at;

    v_is_new := v_user.id = p_user_id;
    INSERT INTO mails (id, user_id, kind, due_at)
    VALUES (p_mail_id, v_user.id, CASE WHEN v_is_new THEN 'verification' ELSE 'already_registered' END,
            now() + p_mail_due_in)
    ON CONFLICT DO NOTHING;
    -- Where the mail is there so is the rest.
    IF NOT FOUND THEN RETURN; END IF;
    -- Who tries an address that has an account need not be its user.
    INSERT INTO audit_log (kind, user_id, actor, address)
    VALUES (CASE WHEN v_is_new THEN 'registered' ELSE 'registered_again' END, v_user.id,
            CASE WHEN v_is_new THEN 'user:' || v_user.id ELSE 'register' END, p_address);
    IF NOT p_verified_only THEN
        PERFORM add_session(
            p_session_id, v_user.id, NULL, p_address, p_expires_at, p_token_hash, p_token_expires_at);
    END IF;
END $$;
