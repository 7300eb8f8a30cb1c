"""The route that tells which keypoints agree in a photograph and in one of the gallery."""

import asyncio
from functools import partial

from fastapi import FastAPI, Request

from flukeprint.serving.api.photo_routes import (
    PHOTO_REFUSALS,
    damage_refused,
    photo_form,
    read_and_check,
)
from flukeprint.serving.api.problems import RefusedError, responses
from flukeprint.serving.api.schemas import MatchedPair, PointMatches
from flukeprint.serving.full_photos import GalleryPictures
from flukeprint.serving.service import Service

_DIGITS = 9  # most of an id


def add_match_route(app: FastAPI, service: Service, pictures: GalleryPictures) -> None:
    """Add `/v1/matches` to `app`."""

    @app.post(
        "/v1/matches", tags=["work"], responses=responses(*PHOTO_REFUSALS, "not_found"),
        openapi_extra=photo_form(
            1, 1,
            candidate={
                "type": "integer", "minimum": 0, "examples": [31],
                "description": "Id of a photo of the gallery: see `/v1/photos/{photo}`",
            },
            mirror={
                "type": "string", "enum": ["yes", "no"], "default": "no", "examples": ["no"],
                "description": "Match the mirror image of the photograph, as of another flank",
            },
        ),
    )  # fmt: skip
    async def match_points(request: Request) -> PointMatches:
        """Which keypoints of a photograph agree with those of one of the gallery?

        Found as keypoints are for ranking (`rank.local`), in the candidate's full picture where
        there is one, else in its thumbnail.
        """
        upload = await read_and_check(
            request, service.settings, fields=("candidate",), optional={"mirror": "no"}
        )
        if len(upload.photos) != 1:
            raise RefusedError("invalid", "one photograph is matched, no more")
        number, mirror = upload.fields["candidate"], upload.fields["mirror"]
        if not (number.isascii() and number.isdigit() and len(number) <= _DIGITS):
            raise RefusedError("invalid", "candidate is the id of a photo of the gallery")
        if mirror not in ("yes", "no"):
            raise RefusedError("invalid", "mirror is yes or no")
        # In a thread: decoding takes long.
        look = partial(pictures.picture, int(number))
        picture = await asyncio.get_running_loop().run_in_executor(None, look)
        if picture is None:
            raise RefusedError(
                "not_found", f"the gallery has no picture of photo {int(number)} to match with"
            )
        with damage_refused():
            found = await service.matched_points(
                upload.photos[0], picture[0], mirror=mirror == "yes"
            )
        return PointMatches(
            candidate=int(number), size=picture[1], mirrored=mirror == "yes",
            points=found.found[0], candidate_points=found.found[1], paired=found.paired,
            agreed=found.count,
            pairs=[
                MatchedPair(x=x, y=y, candidate_x=there_x, candidate_y=there_y, weight=weight)
                for (x, y, there_x, there_y), weight in zip(
                    found.places.tolist(), found.weights.tolist(), strict=True
                )
            ],
        )  # fmt: skip
