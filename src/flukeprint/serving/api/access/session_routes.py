"""The routes with which a page signs a person in and out, and learns who that is."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from flukeprint.serving.api.access.doors import COOKIE, CSRF, Doors
from flukeprint.serving.api.problems import responses
from flukeprint.serving.api.schemas import Body, told
from flukeprint.serving.people import Person, Role
from flukeprint.serving.sessions import SECONDS, Session


class SignIn(BaseModel):
    """What a person signs in with."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    token: str = Field(
        max_length=500, repr=False, description="Of flukeprint token", examples=["fp_..."]
    )


class SignedIn(Body):
    """Who asks, and what that person may do."""

    name: Annotated[str | None, told("Of the person; null for nobody", "Ana")]
    role: Annotated[
        Role | None,
        told("look, also review, or also keep; null: not even looking, sign in", "keep"),
    ]
    csrf: Annotated[
        str | None,
        told(f"To send as {CSRF} with each change, where a cookie says who asks", "9f86d0818"),
    ]
    until: Annotated[str | None, told("UTC time at which the session ends", "2026-11-29T18:00:00Z")]


def add_session_routes(app: FastAPI, doors: Doors) -> None:
    """Add `/v1/session` to `app`."""

    @app.post(
        "/v1/session", tags=["people"],
        responses=responses("bad_request", "unauthorized", "rate_limited", "invalid"),
    )  # fmt: skip
    async def sign_in(given: SignIn, request: Request, response: Response) -> SignedIn:
        """Begin a session with a token: a cookie that scripts cannot read."""
        session = doors.sessions.issue(doors.token_of(given.token.strip(), request))
        response.set_cookie(
            COOKIE, session.cookie, max_age=int(SECONDS), httponly=True, samesite="strict",
            secure=request.url.scheme == "https", path="/",
        )  # fmt: skip
        return _signed_in(session.person, session)

    @app.get("/v1/session", tags=["people"], responses=responses("unauthorized", "rate_limited"))
    async def get_session(request: Request) -> SignedIn:
        """Who asks: by a cookie or a bearer token, or nobody."""
        person, session = doors.who(request), doors.session(request)
        if person is not None:
            mine = session is not None and session.person == person
            return _signed_in(person, session if mine else None)
        return SignedIn(name=None, role=None if doors.closed else "look", csrf=None, until=None)

    @app.delete("/v1/session", tags=["people"], status_code=204)
    async def sign_out(response: Response) -> None:
        """End the session: the cookie is taken back."""
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")


def _signed_in(person: Person, session: Session | None) -> SignedIn:
    until = None
    if session is not None:
        until = datetime.fromtimestamp(session.until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return SignedIn(
        name=person.name, role=person.role, csrf=None if session is None else session.csrf,
        until=until,
    )  # fmt: skip
