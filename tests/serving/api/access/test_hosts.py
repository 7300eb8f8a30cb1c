"""Requests for other hosts are refused, before anything else is looked at."""

from pathlib import Path

import httpx2
import pytest

from flukeprint.config.schema import ServeConfig
from flukeprint.serving.api.access.hosts import KnownHosts, hosts_advice, known_hosts
from tests.serving.api.asgi_client import ask, counting
from tests.serving.api.http_client import connected, refused, well
from tests.serving.served import Served, served


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("LOCALHOST:8000", 200), ("127.0.0.1:1", 200), ("[::1]:8000", 200),
        ("localhost.", 200), ("localhost:", 200), ("evil.example", 421), ("", 421),
        ("localhost.evil.example", 421), ("evil.example:8000", 421), ("127.0.0.1.evil", 421),
        ("localhost:8000:9", 421), ("*", 421), ("127.0.0.1@evil.example", 421),
    ],
)  # fmt: skip
def test_on_loopback_its_names_alone_are_answered(host: str, status: int) -> None:
    said = ask(KnownHosts(counting, known_hosts(ServeConfig())), headers={"host": host})
    assert said.status == status
    if status != 200:
        assert said.kind == "foreign_host"
        assert "evil" not in said.body.decode()


def test_named_hosts_are_answered_and_a_star_answers_all() -> None:
    named = KnownHosts(counting, known_hosts(ServeConfig(hosts=("whales.example",))))
    assert ask(named, headers={"host": "Whales.example:8443"}).status == 200
    assert ask(named, headers={"host": "localhost"}).status == 421
    assert ask(named).status == 200  # no browser leaves the header out
    for anywhere in (ServeConfig(host="0.0.0.0"), ServeConfig(hosts=("*",))):
        app = KnownHosts(counting, known_hosts(anywhere))
        assert ask(app, headers={"host": "evil.example"}).status == 200


@pytest.mark.parametrize(
    ("settings", "advised"),
    [
        (ServeConfig(), False),
        (ServeConfig(host="127.0.0.9"), False),
        (ServeConfig(host="0.0.0.0"), True),
        (ServeConfig(host="0.0.0.0", hosts=("*",)), False),
        (ServeConfig(host="0.0.0.0", hosts=("whales.example",)), False),
    ],
)
def test_whoever_answers_any_host_without_saying_so_is_advised(
    settings: ServeConfig, advised: bool
) -> None:
    assert ("serve.hosts=[" in (hosts_advice(settings) or "")) == advised


def test_a_server_refuses_a_foreign_host_on_api_and_page(client: httpx2.Client) -> None:
    for path in ("/v1/health", "/", "/openapi.json"):
        refused(client.get(path, headers={"Host": "evil.example"}), 421, "foreign_host")


def test_a_server_that_all_may_reach_says_so(identifier: Path) -> None:
    with served(identifier, "serve.host=0.0.0.0") as open_to_all:
        here = Served(
            open_to_all.url.replace("0.0.0.0", "127.0.0.1"), open_to_all.process, open_to_all.output
        )
        with connected(here) as client:
            assert well(client.get("/v1/health", headers={"Host": "any.example"}))
        assert "hosts: requests for any host name are answered" in open_to_all.said()
