"""A mail server in memory, as `Mail`."""

from collections import defaultdict

from lib.accounts.ports import Letter, MailDelayedError, MailInDoubtError, MailRefusedError


class FakeMail:
    """Keeps what it took. `answers` says what becomes of mails to an address, once for each in turn:
    later, refuse, lose (it takes the mail and its answer is lost). Then it takes them all.
    """

    def __init__(self) -> None:
        self.taken: list[Letter] = []
        self.down = False
        self.answers: dict[str, list[str]] = defaultdict(list)

    def send(self, letter: Letter) -> None:
        if self.down:
            raise MailDelayedError("ConnectionRefusedError")
        answers = self.answers[letter.to]
        answer = answers.pop(0) if answers else ""
        if answer == "later":
            raise MailDelayedError("451")
        if answer == "refuse":
            raise MailRefusedError("550")
        self.taken.append(letter)
        if answer == "lose":
            raise MailInDoubtError("SMTPServerDisconnected")
