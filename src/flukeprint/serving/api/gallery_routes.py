"""The routes that show the gallery: its classes, its map, thumbnails, neighbours and examples."""

from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Response

from flukeprint.serving.api.problems import RefusedError, responses
from flukeprint.serving.api.responses import Descriptions, similar
from flukeprint.serving.api.schemas import Classes, Examples, GalleryMap, Similar
from flukeprint.serving.full_photos import GalleryPictures, Size
from flukeprint.serving.service import Service

LARGEST_ID = 2**53  # the largest integer that JSON carries exactly
PhotoId = Annotated[
    int, Path(ge=0, le=LARGEST_ID, description="Id of a photo of the gallery", examples=[31])
]
ExampleNumber = Annotated[
    int, Path(ge=0, le=LARGEST_ID, description="Of an example, from 0 on", examples=[0])
]
# Without a schema generators of clients leave the answer out.
JPEG: dict[str, Any] = {
    "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
    "description": "A JPEG without metadata",
}


def add_gallery_routes(
    app: FastAPI, service: Service, descriptions: Descriptions, pictures: GalleryPictures
) -> None:
    """Add `/v1/classes`, `/v1/map`, `/v1/photos/...` and `/v1/examples...` to `app`."""

    @app.get("/v1/classes", tags=["gallery"], responses=responses("invalid"))
    async def list_classes(
        offset: Annotated[
            int, Query(ge=0, le=LARGEST_ID, description="Classes to pass over", examples=[0])
        ] = 0,
        limit: Annotated[int, Query(ge=1, le=500, description="Most classes", examples=[50])] = 100,
    ) -> Classes:
        """The individuals or species of the gallery, by name, with what is known of them."""
        return descriptions.page(offset, limit)

    # Not async, like `list_similar_photos`: they run in a thread, since a large gallery takes long.
    @app.get("/v1/map", tags=["gallery"], responses=responses("not_found"))
    def get_map() -> GalleryMap:
        """The gallery in two dimensions."""
        found = descriptions.map()
        if found is None:
            raise RefusedError("not_found", "this identifier was made without a map; train again")
        return found

    picture: dict[str, Any] = {
        "response_class": Response,
        "responses": {200: JPEG, **responses("not_found", "invalid")},
    }

    # In a thread: decoding takes long.
    @app.get("/v1/photos/{photo}", tags=["gallery"], **picture)
    def get_photo(
        photo: PhotoId,
        size: Annotated[
            Size,
            Query(description="full: from its file, at most 2400 px", examples=["full"]),
        ] = "thumbnail",
    ) -> Response:
        """A photo of the gallery.

        At full size where its file is known (to the catalogue, or in `serve.photos_folder`) and
        still shows the same; the thumbnail otherwise.  The header X-Photo-Size says which.
        """
        found = pictures.picture(photo, size)
        data, told = found or (None, "thumbnail")
        answer = _jpeg(data, f"the gallery has no picture of photo {photo}")
        answer.headers["X-Photo-Size"] = told
        return answer

    @app.get(
        "/v1/photos/{photo}/similar", tags=["gallery"], responses=responses("not_found", "invalid")
    )
    def list_similar_photos(
        photo: PhotoId,
        most: Annotated[int, Query(ge=1, le=48, description="Most photos", examples=[5])] = 12,
    ) -> Similar:
        """The photos of the gallery that are nearest to one of them."""
        identifier = service.identifier
        row = identifier.row_of(photo)
        if row is None:
            raise RefusedError("not_found", f"the gallery has no photo {photo}")
        return similar(identifier, row, most)

    @app.get("/v1/examples", tags=["gallery"])
    async def list_examples() -> Examples:
        """How many photographs there are to try."""
        return Examples(count=len(service.examples))

    @app.get("/v1/examples/{number}", tags=["gallery"], **picture)
    async def get_example(number: ExampleNumber) -> Response:
        """A photograph to try."""
        data = service.examples[number] if number < len(service.examples) else None
        return _jpeg(data, f"there is no example {number}")


def _jpeg(data: bytes | None, missing: str) -> Response:
    if data is None:
        raise RefusedError("not_found", missing)
    return Response(
        data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"}
    )
