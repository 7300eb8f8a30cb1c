"""Answer with a wider rank of a taxonomy, such as the genus, where the class is uncertain.

A class (a species, or whatever the gallery's identities are) has a name at each rank, such as
genus, family and order, or none.  A photograph too poor for the species may suffice for the
genus.  Shapes: q queries, n classes of the gallery; probabilities lie in 0..1.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flukeprint.data.names import identity_name
from flukeprint.data.tables import check_filled, check_once, lines, read_table
from flukeprint.errors import FlukeprintError, listed, nearest
from flukeprint.files import written_whole

CLASS = "class"  # the rank below those of a table, and the name of its column
SLACK = 1e-6  # by which the probabilities of one query may exceed 1 in total
Lineage = tuple[str | None, ...]
Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Taxonomy:
    """The lineage of each class: its names at wider ranks.

    ranks: (r) narrow to wide, such as genus, family, order; without `class`.
    lineages: class -> (r) its name at each rank, None where it has no single certain one.
    source: the table, for messages.
    It is a tree: a name has the same wider names, or the same blanks, in all lineages.
    """

    ranks: tuple[str, ...]
    lineages: Mapping[str, Lineage]
    source: str = field(default="the taxonomy", compare=False)

    def __post_init__(self) -> None:
        if not self.ranks or CLASS in self.ranks or len(set(self.ranks)) != len(self.ranks):
            raise ValueError(f"ranks must be distinct, at least one and not class: {self.ranks}")
        for identity, lineage in self.lineages.items():
            if len(lineage) != len(self.ranks) or "" in lineage:
                raise ValueError(f"{identity} needs a name or None at {self.ranks}: {lineage}")
        conflict = _conflict(self.lineages)
        if conflict:
            raise ValueError(
                f"no tree: {self.lineages[conflict[1]]} and {self.lineages[conflict[2]]}"
            )

    @classmethod
    def read(cls, path: Path) -> "Taxonomy":
        """Read the CSV `path`: a column `class`; the others are the ranks, narrow to wide.

        A blank cell means that the class has no single certain name at that rank.
        Raises FlukeprintError, naming the lines, for a class twice or without a name, for a
        table without ranks, and for a name under two different parents.
        """
        table = read_table(path, (CLASS,))
        ranks = tuple(name for name in table.columns if name != CLASS)
        if not ranks:
            raise FlukeprintError(
                f"{path} has no ranks; beside class it needs columns such as genus,family,order"
            )
        if "" in ranks:
            raise FlukeprintError(f"{path} has a column without a name; name or remove it")
        check_filled(table, (CLASS,), path)
        table[CLASS] = table[CLASS].map(identity_name)
        check_once(table, CLASS, None, path)
        lineages: dict[str, Lineage] = {
            identity: tuple(name or None for name in names)
            for identity, *names in table[[CLASS, *ranks]].itertuples(index=False, name=None)
        }
        conflict = _conflict(lineages)
        if conflict:
            at, *pair = conflict
            rows = [table.index[list(lineages).index(identity)] for identity in pair]
            above = [_described(ranks[at + 1 :], lineages[identity][at + 1 :]) for identity in pair]
            raise FlukeprintError(
                f"{path}, {lines(rows)}: the {ranks[at]} {lineages[pair[0]][at]} stands under "
                f"{above[0]} and under {above[1]}; give it one parent"
            )
        return cls(ranks, lineages, str(path))

    def save(self, path: Path) -> None:
        """Write the table that `read` reads, atomically."""
        with (
            written_whole(path) as partial,
            partial.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow((CLASS, *self.ranks))
            for identity, lineage in self.lineages.items():
                writer.writerow((identity, *(name or "" for name in lineage)))

    def check(self, identities: Iterable[str]) -> None:
        """Refuse identities that the table lacks, with a FlukeprintError that names them."""
        lacking = [identity for identity in identities if identity not in self.lineages]
        if lacking:
            raise FlukeprintError(
                f"{self.source} has no row for {listed(lacking)}; "
                f"add {'it' if len(lacking) == 1 else 'them'}, "
                f"or for {lacking[0]}: {nearest(lacking[0], self.lineages)}"
            )


@dataclass(frozen=True)
class RankPlacement:
    """The narrowest rank at which a query is confident enough.

    rank: `class` or one of the taxonomy's; name: the class or node there; both None where not
    even the widest rank is.  probability: of `name`, else of the widest rank's best node.
    """

    rank: str | None
    name: str | None
    probability: float

    def __post_init__(self) -> None:
        if (self.rank is None) != (self.name is None) or not 0 <= self.probability <= 1:
            raise ValueError(f"no placement: {self.rank}, {self.name}, {self.probability}")


def place(
    taxonomy: Taxonomy,
    probabilities: npt.ArrayLike,
    identities: Sequence[str],
    confidence: float,
    *,
    above_classes: bool = False,
) -> tuple[RankPlacement, ...]:
    """Place each query at the narrowest rank whose best node is at least as probable as needed.

    probabilities: (q, n) float64 of the gallery's classes `identities` (n); each row sums to at
    most 1; the rest is the probability of a new individual.  confidence: least probability of the
    node, above 0, at most 1.  above_classes: no query is placed at a class itself, as a new one is
    in none.

    A node's probability is the sum over the classes below it; a class with a blank at a rank is
    below no node there.  So along a lineage without blanks the probability never falls.  Of
    equally probable nodes the first by name is taken.  Where no class has a name at the widest
    rank, its best node has the probability 0.

    Answering with a wider node rather than a doubtful class: Deng, Krause, Berg and Fei-Fei,
    Hedging Your Bets (CVPR 2012); here with one fixed confidence instead of their reward.

    Raises FlukeprintError for identities that the taxonomy lacks, ValueError for other shapes
    and for numbers that are no probabilities.
    """
    taxonomy.check(identities)
    p = np.asarray(probabilities, dtype=np.float64)
    n = len(identities)
    if not n or len(set(identities)) != n:
        raise ValueError("identities must be at least one, each once")
    if p.ndim != 2 or p.shape[1] != n:
        raise ValueError(f"probabilities must be (q, {n}), are {p.shape}")
    if not ((p >= 0).all() and (p.sum(axis=1) <= 1 + SLACK).all()):
        raise ValueError("probabilities must be 0 or more and sum to at most 1 for each query")
    if not 0 < confidence <= 1:
        raise ValueError(f"confidence must be above 0 and at most 1, is {confidence}")
    ranks = (CLASS, *taxonomy.ranks)
    columns: list[Sequence[str | None]] = [
        identities,
        *zip(*(taxonomy.lineages[identity] for identity in identities), strict=True),
    ]
    nodes, best, sums = zip(*(_best(p, names) for names in columns), strict=True)
    sure = np.stack(sums) >= confidence  # (1 + r, q)
    sure[0] &= not above_classes
    narrowest = np.where(sure.any(axis=0), sure.argmax(axis=0), -1)
    return tuple(
        RankPlacement(None, None, float(sums[-1][query]))
        if at < 0
        else RankPlacement(ranks[at], nodes[at][best[at][query]], float(sums[at][query]))
        for query, at in enumerate(narrowest)
    )


def truth_at(taxonomy: Taxonomy, identity: str, rank: str) -> str | None:
    """The name of a class at a rank, None where it has none; at `class` the identity itself.

    Raises FlukeprintError for an identity or a rank that the taxonomy lacks.
    """
    taxonomy.check([identity])
    if rank == CLASS:
        return identity
    if rank not in taxonomy.ranks:
        known = nearest(rank, (CLASS, *taxonomy.ranks))
        raise FlukeprintError(f"{taxonomy.source} has no rank {rank}: {known}")
    return taxonomy.lineages[identity][taxonomy.ranks.index(rank)]


def is_right(taxonomy: Taxonomy, placement: RankPlacement, identity: str) -> bool | None:
    """Whether a placement names the true class or a node above it; None where it names nothing.

    A true class with a blank at that rank counts as wrong, so that a name which cannot be
    confirmed does not raise a measured accuracy.
    """
    if placement.rank is None:
        taxonomy.check([identity])
        return None
    return truth_at(taxonomy, identity, placement.rank) == placement.name


def _best(
    p: Probabilities, names: Sequence[str | None]
) -> tuple[tuple[str, ...], npt.NDArray[np.intp], Probabilities]:
    """Find the best node of a rank: (nodes by name, (q,) its index, (q,) its probability).

    p: (q, n); names: (n) the node above each class, None where there is none.
    """
    nodes = tuple(sorted({name for name in names if name is not None}))
    if not nodes:
        return nodes, np.zeros(len(p), dtype=np.intp), np.zeros(len(p))
    place_of = {name: place for place, name in enumerate(nodes)}
    below = [column for column, name in enumerate(names) if name is not None]
    node = np.array([place_of[name] for name in names if name is not None], dtype=np.intp)
    # bincount adds the columns in order at every rank, so rounding can never make a wider node
    # less probable than a narrower one.
    slot = np.arange(len(p))[:, None] * len(nodes) + node
    sums = np.bincount(slot.ravel(), weights=p[:, below].ravel(), minlength=len(p) * len(nodes))
    sums = np.minimum(sums.reshape(len(p), len(nodes)), 1.0)
    best = sums.argmax(axis=1)
    return nodes, best, sums[np.arange(len(p)), best]


def _conflict(lineages: Mapping[str, Lineage]) -> tuple[int, str, str] | None:
    """Find a name with two different parents: (rank, class, class), or None."""
    first: dict[tuple[int, str], str] = {}
    for identity, lineage in lineages.items():
        for at, name in enumerate(lineage):
            if name is not None:
                other = first.setdefault((at, name), identity)
                if lineages[other][at + 1 :] != lineage[at + 1 :]:
                    return at, other, identity
    return None


def _described(ranks: Sequence[str], names: Lineage) -> str:
    """Format names, as `family Theridiidae, order Araneae` or `no family, order Araneae`."""
    return ", ".join(
        f"{rank} {name}" if name is not None else f"no {rank}"
        for rank, name in zip(ranks, names, strict=True)
    )
