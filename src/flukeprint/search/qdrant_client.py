"""Connect to Qdrant: location of a gallery, search filters, and errors in one line.

The API key of a server is read from the environment only, and is never written or printed.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flukeprint.config.ranking import GalleryConfig
from flukeprint.errors import FlukeprintError, needs

if TYPE_CHECKING:
    from qdrant_client import QdrantClient


KEY = "QDRANT_API_KEY"
TIMEOUT = 30  # s, for one response
_FORBIDDEN = set('<>:"/\\|?*@') | {chr(code) for code in range(32)}


@dataclass(frozen=True)
class QdrantLocation:
    """Server, collection and network of a gallery; all that is saved of one in a server.

    url: of the server; None: embedded in this process.
    collection: alias of the current gallery.
    stamp: of the network that embedded it.  dimension: of its vectors.
    quantize: int8 vectors in memory, re-scored exactly.
    thorough: the server compares a query with every vector.
    """

    url: str | None
    collection: str
    stamp: str
    dimension: int
    quantize: bool = False
    thorough: bool = False

    def __post_init__(self) -> None:
        if not self.collection or _FORBIDDEN & set(self.collection + self.stamp):
            raise FlukeprintError(
                f"gallery.collection={self.collection!r} is no name of a collection: leave out "
                '< > : " / \\ | ? * @ and control characters'
            )
        if self.url is not None:
            parts = urlsplit(self.url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise FlukeprintError(
                    "gallery.url is no address of a server, such as http://localhost:6333"
                )
            if parts.username is not None or parts.password is not None or parts.query:
                raise FlukeprintError(
                    f"gallery.url holds a user, a password or a query; leave it out and set {KEY}"
                )

    @staticmethod
    def of(config: GalleryConfig, stamp: str, dimension: int) -> "QdrantLocation":
        """The location in a configuration; gallery.recall_at_5=1 asks for exhaustive search."""
        return QdrantLocation(
            config.url, config.collection, stamp, dimension, config.quantize,
            thorough=config.recall_at_5 >= 1,
        )  # fmt: skip

    @property
    def alias(self) -> str:
        """Alias of the complete gallery of this stamp, whether it is the current one or not."""
        return f"{self.collection}@{self.stamp}"

    @property
    def label(self) -> str:
        """The name of the server in messages."""
        return "the embedded Qdrant" if self.url is None else f"Qdrant at {self.url}"


@dataclass(frozen=True)
class SearchFilter:
    """Restricts a search to views and identities, or excludes identities (`without`)."""

    views: tuple[str, ...] | None = None
    identities: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()


def qdrant_filter(where: SearchFilter) -> Any:
    """The filter as Qdrant's `Filter`."""
    from qdrant_client import models

    def one_of(field: str, names: Sequence[str]) -> Any:
        return models.FieldCondition(key=field, match=models.MatchAny(any=list(names)))

    wanted = [("view", where.views), ("identity", where.identities)]
    return models.Filter(
        must=[one_of(field, names) for field, names in wanted if names is not None],
        must_not=[one_of("identity", where.without)] if where.without else None,
    )


def connected(url: str | None) -> "QdrantClient":
    """A client of the server at `url`, without a request yet; None: of an embedded Qdrant."""
    with needs("qdrant"):
        from qdrant_client import QdrantClient
    if url is None:
        return QdrantClient(":memory:")
    # By default the client requests the server's version, and warns if there is no response.
    key = os.environ.get(KEY) or None
    return QdrantClient(url=url, api_key=key, timeout=TIMEOUT, check_compatibility=False)


def check_answers(config: GalleryConfig) -> None:
    """Refuse a server that does not answer, or not with this key."""
    location = QdrantLocation.of(config, stamp="", dimension=0)
    client = connected(location.url)
    try:
        with answering(location):
            client.get_aliases()
    finally:
        client.close()


@contextlib.contextmanager
def answering(location: QdrantLocation) -> Iterator[None]:
    """Turn errors of the server or the connection into one line that never holds the key."""
    from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

    try:
        yield
    except UnexpectedResponse as error:
        reason = f"{error.status_code} {error.reason_phrase}"
        if error.status_code in (401, 403):
            known = "the key in" if os.environ.get(KEY) else "a request without a key; set"
            raise FlukeprintError(f"{location.label} refuses {known} {KEY} ({reason})") from None
        if error.status_code == 404:
            raise FlukeprintError(
                f"{location.label} has no gallery {location.collection} of network "
                f"{location.stamp} any more; build it again"
            ) from None
        raise FlukeprintError(
            f"{location.label} answers {reason}; see its log for the cause"
        ) from None
    except ResponseHandlingException as error:
        kind = type(error.source).__name__
        raise FlukeprintError(
            f"{location.label} does not answer within {TIMEOUT} s ({kind}); start it or "
            "set gallery.url"
        ) from None
    except ResourceExhaustedResponse:
        raise FlukeprintError(f"{location.label} is overloaded; try again later") from None
