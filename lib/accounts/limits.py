"""What strangers may try with accounts, and how often: per network, per account, per recipient of mails."""

import hashlib
import uuid
from dataclasses import dataclass

from lib.accounts.addresses import is_loopback, network
from lib.errors import TooManyAttemptsError, TooManyRequestsError
from lib.web.limits import Limit

ATTEMPTS_PER_ACCOUNT = 10
ATTEMPTS_PER_ADDRESS = 300
REGISTRATIONS_PER_ADDRESS = 100
MAILS_PER_RECIPIENT = 5
MAILS_PER_NETWORK = 30


@dataclass(frozen=True, slots=True)
class LoginKeys:
    """What logins of one account from one network are counted under.

    Where the account was logged in before it is counted `at_home`, apart from `account`: strangers who use up the
    account's attempts, again and again, do not lock its owner out at home.
    """

    network: str
    account: str
    at_home: str

    @classmethod
    def of(cls, email: str, address: str) -> "LoginKeys":
        account, here = "account:" + _digest(email), network(address)
        return cls("address:" + here, account, f"{account}:{here}")


def confirmations(user_id: uuid.UUID) -> Limit:
    """Of the current password, by who is logged in."""
    return Limit(confirmation_key(user_id), ATTEMPTS_PER_ACCOUNT, TooManyAttemptsError)


def confirmation_key(user_id: uuid.UUID) -> str:
    return f"password:{user_id}"


def registrations(address: str, *, count_loopback: bool) -> list[Limit]:
    """Of new accounts, from one network.

    Args:
        count_loopback: in the cloud. On a machine of one's own every process comes from loopback, tests that
            register hundreds too.
    """
    if not count_loopback and is_loopback(address):
        return []
    return [Limit("register:" + network(address), REGISTRATIONS_PER_ADDRESS, TooManyRequestsError)]


def mails(email: str, address: str, *, count_loopback: bool) -> list[Limit]:
    """Of mails that strangers ask for, the same whether an address has an account or not.

    Args:
        count_loopback: as with `registrations`.
    """
    said = "Too many mails were asked for"
    to = Limit("mail-to:" + _digest(email), MAILS_PER_RECIPIENT, TooManyRequestsError, said)
    if not count_loopback and is_loopback(address):
        return [to]
    # First, and no row for the recipient if that is over: it could name a new one each time.
    return [Limit("mail-from:" + network(address), MAILS_PER_NETWORK, TooManyRequestsError, said), to]


def _digest(email: str) -> str:
    return hashlib.sha256(email.encode()).hexdigest()
