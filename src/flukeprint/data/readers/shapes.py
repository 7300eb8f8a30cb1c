"""Reads coloured shapes that are drawn as they are read, to try pairs and heads in seconds.

Nothing lies on the disk.  An identity is a colour or a shape, by `data.shapes.label`; the name of
a photograph says both, so that answers can be checked by eye.
"""

from flukeprint.config.data import DataConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.synthetic.coloured_shapes import ColouredShapes, draw_coloured_shapes


def labelled_shapes(config: DataConfig) -> Catalog:
    """`data.shapes.photos` of each colour and shape: images shape_000_red_circle, ..."""
    drawn = _drawn(config, test=False)
    identities = drawn.colours if config.shapes.label == "colour" else drawn.shapes
    return Catalog(images=_names("shape", drawn), identities=identities, pixels=drawn.pixels)


def unlabelled_shapes(config: DataConfig) -> Catalog:
    """`data.shapes.test_photos` of each, without identities: images test_000_blue_triangle, ..."""
    drawn = _drawn(config, test=True)
    return Catalog(images=_names("test", drawn), pixels=drawn.pixels)


def answers_of_test_shapes(config: DataConfig) -> tuple[str, ...]:
    """The right answers to `unlabelled_shapes`, in its order."""
    drawn = _drawn(config, test=True)
    return drawn.colours if config.shapes.label == "colour" else drawn.shapes


def _drawn(config: DataConfig, *, test: bool) -> ColouredShapes:
    shapes = config.shapes
    photos = shapes.test_photos if test else shapes.photos
    return draw_coloured_shapes(photos, shapes.side, (shapes.seed, int(test)))


def _names(kind: str, drawn: ColouredShapes) -> tuple[str, ...]:
    pairs = zip(drawn.colours, drawn.shapes, strict=True)
    return tuple(f"{kind}_{row:03d}_{colour}_{shape}" for row, (colour, shape) in enumerate(pairs))
