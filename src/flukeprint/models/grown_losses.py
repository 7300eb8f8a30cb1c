"""Start the losses of more classes from those that were trained with fewer.

What a loss has learned of a class stays with that class; a new class starts where its photographs
are embedded.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from flukeprint.models.losses import SummedLoss

# Of a new class's further sub-centers from the first: alike to the bit they would stay alike.
_APART = 0.1


@torch.no_grad()
def grow_losses(losses: SummedLoss, learned: SummedLoss, places: Tensor, starts: Tensor) -> None:
    """Fill `losses` with the parameters of `learned`, of the same terms with fewer classes.

    The memory of past batches is left empty, as its labels are those of the old classes.

    places: (classes,) class in `learned` of each class; -1 for a new one.
    starts: (classes, dim) unit vectors at which new classes start; other rows are not looked at.
    """
    if len(places) != losses.classes or starts.shape != (losses.classes, losses.dim):
        raise ValueError(
            f"{tuple(places.shape)} places and {tuple(starts.shape)} starts for "
            f"{losses.classes} classes of {losses.dim} numbers"
        )
    for term, old in zip(losses.terms, learned.terms, strict=True):
        theirs = old.state_dict()
        term.load_state_dict(
            {
                name: theirs[name]
                if tensor.shape == theirs[name].shape
                else _grown(tensor, theirs[name], places, starts)
                for name, tensor in term.state_dict().items()
            }
        )


def _grown(drawn: Tensor, learned: Tensor, places: Tensor, starts: Tensor) -> Tensor:
    """A tensor with one axis of classes, each class with one or several places in a row.

    drawn: its random start, of which only the directions of further sub-centers matter.
    """
    (axis,) = [a for a in range(drawn.ndim) if drawn.shape[a] != learned.shape[a]]
    each = drawn.shape[axis] // len(places)
    first = [one.movedim(axis, 0) for one in (drawn, learned)]
    new, old = (one.reshape(-1, each, *one.shape[1:]).clone() for one in first)
    fresh = places < 0
    if new.ndim == 3:  # a vector for each place; else a number, such as a bias
        begin = starts[fresh][:, None].repeat(1, each, 1)
        begin[:, 1:] += _APART * F.normalize(new[fresh][:, 1:], dim=2)
        new[fresh] = F.normalize(begin, dim=2) * old.norm(dim=2).mean()
    else:
        new[fresh] = old.mean()
    new[~fresh] = old[places[~fresh]]
    return new.flatten(0, 1).movedim(0, axis)
