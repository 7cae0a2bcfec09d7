-- The words that a film's title and series add to title_words: those that can be mistyped, so no numbers.
CREATE FUNCTION words_of_title(p_title text, p_series text, OUT word text) RETURNS SETOF text
LANGUAGE sql IMMUTABLE AS $$
    SELECT lexeme FROM unnest(to_tsvector('simple', p_title || ' ' || coalesce(p_series, '')))
     WHERE length(lexeme) BETWEEN 3 AND 100 AND lexeme ~ '[[:alpha:]]'
$$;

-- In one order, so that two films that are written at once do not wait for each other.
CREATE FUNCTION keep_title_words() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO title_words SELECT word FROM words_of_title(NEW.title, NEW.series) ORDER BY word
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE TRIGGER title_words AFTER INSERT OR UPDATE OF title, series ON videos
FOR EACH ROW EXECUTE FUNCTION keep_title_words();
