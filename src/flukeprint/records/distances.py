"""Distances between places on the Earth."""

import numpy as np
import numpy.typing as npt

from flukeprint.data.embeddings import Values

EARTH_RADIUS = 6371.0  # km, mean


def great_circle(
    latitude: npt.ArrayLike,
    longitude: npt.ArrayLike,
    other_latitude: npt.ArrayLike,
    other_longitude: npt.ArrayLike,
) -> Values:
    """Distances in km along the sphere between places in radians (haversine formula).

    All four broadcast against each other; NaN where one is unknown.
    """
    north, other_north = np.asarray(latitude), np.asarray(other_latitude)
    half = (other_north - north) / 2, (np.asarray(other_longitude) - np.asarray(longitude)) / 2
    chord = np.sin(half[0]) ** 2 + np.cos(north) * np.cos(other_north) * np.sin(half[1]) ** 2
    return np.asarray(2 * EARTH_RADIUS * np.arcsin(np.sqrt(np.clip(chord, 0, 1))))
