"""Which texts PostgreSQL can keep. JSON can write others, so whoever reads it from outside asks here."""


def can_be_kept(text: str) -> bool:
    """False for one with a NUL, or with half a surrogate pair, which UTF-8 cannot write."""
    if "\x00" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
