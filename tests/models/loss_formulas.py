"""What tests of losses share: how one is built, and the formulas of pair losses as plain loops."""

import math
from itertools import product

import numpy as np
import torch

from flukeprint.config.training import LossConfig
from flukeprint.models.losses import SummedLoss, build_losses

PAIR_LOSSES = ["triplet", "contrastive", "margin", "multi_similarity", "circle", "supcon"]
COSINE_HEADS = [
    "arcface", "cosface", "sphereface", "subcenter_arcface", "dynamic_arcface", "proxy_anchor",
]  # fmt: skip
CLASS_LOSSES = [*COSINE_HEADS, "softmax", "center"]
DIM = 6
LABELS = [0, 1, 0, 2, -1, 1, 3, -1, 0, 4]
MIRRORED = [0, 5, 0, 2, -1, 5, 7, -1, 3, 8, 3, 1]  # of 5: 5 is the twin of 0, 8 of 3, 7 of 2


def build(
    name, params=None, *, classes=5, counts=None, mirrored=False, seed=0, memory=0
) -> SummedLoss:
    torch.manual_seed(seed)
    return build_losses(
        [LossConfig(name=name, params=params or {})],
        classes=classes,
        dim=DIM,
        class_counts=np.full(classes, 4) if counts is None else np.array(counts),
        mirrored_classes=mirrored,
        memory=memory,
    )


def batch(labels, seed=0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(100 + seed)  # not that of the weights
    return torch.randn(len(labels), DIM, generator=generator), torch.tensor(labels)


def value(loss, embeddings, labels) -> float:
    return loss(embeddings, labels).total.item()


def unit(rows) -> np.ndarray:
    rows = rows.detach().numpy().astype(np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def twin_of(label: int, individuals: int) -> int:
    return label + individuals if label < individuals else label - individuals


def naive_relations(labels, individuals=None, anchors=None):
    """[(i, j)] positive pairs and negative pairs by the words of the rules.

    anchors: number of photos, the first ones, that are the batch; the others are remembered.
    """
    positive, negative = [], []
    anchors = len(labels) if anchors is None else anchors
    for i, j in product(range(anchors), range(len(labels))):
        if i == j or (j >= anchors and labels[i] == labels[j] == -1):
            continue
        if labels[i] < 0 or labels[j] < 0:
            negative.append((i, j))
        elif labels[i] == labels[j]:
            positive.append((i, j))
        elif individuals is None or labels[j] != twin_of(labels[i], individuals):
            negative.append((i, j))
    return positive, negative


def naive_triplet(
    embeddings, labels, individuals, mining, margin, soft, distance, anchors=None
) -> float:
    x = unit(embeddings)
    n = len(x)
    far = np.array([[np.linalg.norm(x[i] - x[j]) for j in range(n)] for i in range(n)])
    if distance == "squared":
        far = far**2
    if distance == "cosine":
        far = -(x @ x.T)
    positive, negative = naive_relations(labels, individuals, anchors)
    costs = []
    for anchor in range(n):
        near = [far[anchor, p] for a, p in positive if a == anchor]
        away = [far[anchor, m] for a, m in negative if a == anchor]
        if not near or not away:
            continue
        if mining == "batch_hard":
            chosen = [(max(near), min(away))]
        elif mining == "batch_easy":
            chosen = [(min(near), max(away))]
        elif mining == "batch_all":
            chosen = list(product(near, away))
        else:
            chosen = [(p, m) for p, m in product(near, away) if p < m <= p + margin]
        costs += [
            math.log1p(math.exp(p - m + margin)) if soft else max(0.0, p - m + margin)
            for p, m in chosen
        ]
    if mining in ("batch_all", "semi_hard"):
        costs = [cost for cost in costs if cost > 0]
    return float(np.mean(costs)) if costs else 0.0


def naive_pairs(name, embeddings, labels, individuals, anchors=None) -> float:
    x = unit(embeddings)
    cosine = x @ x.T
    far = np.sqrt(np.maximum(0, 2 - 2 * cosine))
    positive, negative = naive_relations(labels, individuals, anchors)
    if name == "contrastive":
        near = [far[pair] for pair in positive if far[pair] > 0]
        away = [1 - far[pair] for pair in negative if far[pair] < 1]
        return float(np.mean(near) + np.mean(away))
    if name == "margin":
        costs = [
            (max(0.0, far[a, p] - 1.2 + 0.2), max(0.0, 1.2 - far[b, n] + 0.2))
            for (a, p), (b, n) in product(positive, negative)
            if a == b
        ]
        active = sum(int(p > 0) + int(n > 0) for p, n in costs)
        return sum(p + n for p, n in costs) / active
    per_anchor = []
    for anchor in range(len(x) if anchors is None else anchors):
        near = [cosine[pair] for pair in positive if pair[0] == anchor]
        away = [cosine[pair] for pair in negative if pair[0] == anchor]
        if name == "supcon" and near:
            total = sum(math.exp(s / 0.1) for s in near + away)
            per_anchor.append(-np.mean([math.log(math.exp(s / 0.1) / total) for s in near]))
        elif name == "circle" and near and away:
            p = sum(math.exp(-80 * max(0, 1.4 - s) * (s - 0.6)) for s in near)
            n = sum(math.exp(80 * max(0, s + 0.4) * (s - 0.4)) for s in away)
            per_anchor.append(math.log1p(p * n))
        elif name == "multi_similarity":
            hard_near = [s for s in near if away and s - 0.1 < max(away)]
            hard_away = [s for s in away if near and s + 0.1 > min(near)]
            per_anchor.append(
                math.log1p(sum(math.exp(-2 * (s - 0.5)) for s in hard_near)) / 2
                + math.log1p(sum(math.exp(50 * (s - 0.5)) for s in hard_away)) / 50
            )
    if name == "circle":
        per_anchor = [cost for cost in per_anchor if cost > 0]
    return float(np.mean(per_anchor))
