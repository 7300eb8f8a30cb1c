"""Signed sessions of people in a browser: a cookie that names a person until a time.

Nothing is kept on the server.  A session ends with its time, with its person's token, and with the
secret that signs it.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flukeprint.serving.people import Person

SECRET = "FLUKEPRINT_SESSION_SECRET"  # environment variable; without it restarts end all sessions
SECONDS = 12 * 3600.0
_LONGEST = 2000  # characters of a cookie that is looked at


def session_secret() -> bytes:
    """The secret of the environment, or a new one."""
    return os.environ.get(SECRET, "").encode() or secrets.token_bytes(32)


@dataclass(frozen=True)
class Session:
    """A session as it is kept in a cookie.

    until: UTC seconds since 1970.  csrf: what a page sends with a change, to show that it is ours.
    """

    cookie: str
    person: Person
    until: float
    csrf: str


class Sessions:
    """Issues and reads sessions."""

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._secret, self._clock = secret, clock

    def issue(self, person: Person) -> Session:
        """A new session of a person."""
        until = self._clock() + SECONDS
        told = json.dumps([person.name, self._bound(person), until, secrets.token_hex(8)])
        body = base64.urlsafe_b64encode(told.encode()).decode()
        return self._session(f"{body}.{self._sign('session', body)}", person, until)

    def read(self, cookie: str, people: Iterable[Person]) -> Session | None:
        """The session of a cookie; None for one that is forged, over, or of a token taken back."""
        body, _, signature = cookie.partition(".")
        if len(cookie) > _LONGEST or not hmac.compare_digest(
            signature.encode(), self._sign("session", body).encode()
        ):
            return None
        try:
            name, bound, until, _ = json.loads(base64.urlsafe_b64decode(body))
        except (ValueError, binascii.Error):
            return None
        if until <= self._clock():
            return None
        for person in people:
            if person.name == name and hmac.compare_digest(self._bound(person), bound):
                return self._session(cookie, person, until)
        return None

    def _session(self, cookie: str, person: Person, until: float) -> Session:
        return Session(cookie, person, until, self._sign("csrf", cookie))

    def _bound(self, person: Person) -> str:
        """What ties a session to the token with which it began."""
        return self._sign("token", person.sha256)[:32]

    def _sign(self, what: str, text: str) -> str:
        return hmac.new(self._secret, f"{what}:{text}".encode(), hashlib.sha256).hexdigest()
