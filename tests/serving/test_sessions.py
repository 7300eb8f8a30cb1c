"""Signed sessions: what a browser holds cannot be forged, prolonged or kept after its token."""

import base64
import json

import pytest

from flukeprint.serving.people import Person
from flukeprint.serving.sessions import SECONDS, Sessions

ANA = Person("Ana", "keep", "a" * 64)
BEA = Person("Bea", "look", "b" * 64)


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_session_names_its_person_until_its_end() -> None:
    time = Time()
    sessions = Sessions(b"secret", time)
    one = sessions.issue(ANA)
    assert sessions.read(one.cookie, [BEA, ANA]) == one
    assert (one.person, one.until) == (ANA, 1000 + SECONDS)
    assert sessions.issue(ANA).cookie != one.cookie
    time.now += SECONDS - 1
    assert sessions.read(one.cookie, [ANA]) == one
    time.now += 1
    assert sessions.read(one.cookie, [ANA]) is None


def test_a_session_ends_with_its_token_and_with_the_secret() -> None:
    one = Sessions(b"secret").issue(ANA)
    sessions = Sessions(b"secret")
    assert sessions.read(one.cookie, [ANA]) is not None
    assert sessions.read(one.cookie, [Person("Ana", "keep", "c" * 64)]) is None
    assert sessions.read(one.cookie, [BEA]) is None
    assert sessions.read(one.cookie, [Person("Ana", "look", "a" * 64)]).person.role == "look"  # type: ignore[union-attr]
    assert Sessions(b"another").read(one.cookie, [ANA]) is None


@pytest.mark.parametrize("change", ["name", "until", "signature", "none", "dot", "long", "swap"])
def test_a_forged_cookie_is_nobodys(change: str) -> None:
    sessions = Sessions(b"secret")
    body, _, signature = sessions.issue(BEA).cookie.partition(".")
    told = json.loads(base64.urlsafe_b64decode(body))
    if change == "name":
        told[0] = "Ana"
    if change == "until":
        told[2] += 1e9
    forged = base64.urlsafe_b64encode(json.dumps(told).encode()).decode()
    cookie = {
        "signature": f"{body}.{signature[::-1]}", "none": body, "dot": ".", "long": "x" * 5000,
        "swap": f"{body}.{sessions.issue(BEA).cookie.partition('.')[2]}",
    }.get(change, f"{forged}.{signature}")  # fmt: skip
    assert sessions.read(cookie, [ANA, BEA]) is None


def test_what_a_page_sends_with_a_change_is_of_that_session_alone() -> None:
    sessions = Sessions(b"secret")
    one, other = sessions.issue(ANA), sessions.issue(ANA)
    assert one.csrf != other.csrf
    assert one.csrf not in one.cookie
