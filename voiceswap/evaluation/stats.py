"""Means with bootstrap confidence intervals that respect who spoke."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A mean and the range that holds it with 95 % confidence; all nan when nothing was measured."""

    mean: float
    low: float
    high: float
    count: int
    """Utterances that were measured."""


def bootstrap(
    values: Sequence[float] | np.ndarray,
    *,
    weights: Sequence[float] | np.ndarray | None = None,
    clusters: Sequence[str] | None = None,
    samples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Sum of `values` over sum of `weights` (1 each, which gives the mean), with a 95 % percentile interval.

    `clusters` names each value's speaker: whole speakers are then drawn with replacement, because one
    person's utterances are alike and would otherwise make the interval too narrow. Errors and reference
    characters as values and weights give the error rate of a whole test set. Values that are nan are left
    out. Efron, "Better bootstrap confidence intervals", 1987; Field and Welsh, "Bootstrapping clustered
    data", 2007.
    """
    value = np.asarray(values, float)
    weight = np.ones(len(value)) if weights is None else np.asarray(weights, float)
    labels = np.arange(len(value)) if clusters is None else np.asarray(clusters)
    measured = np.isfinite(value) & np.isfinite(weight)
    value, weight, labels = value[measured], weight[measured], labels[measured]
    if not len(value) or weight.sum() <= 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    names, index = np.unique(labels, return_inverse=True)
    over = np.bincount(index, value)
    under = np.bincount(index, weight)
    drawn = np.random.default_rng(seed).integers(len(names), size=(samples, len(names)))
    below = under[drawn].sum(1)
    means = over[drawn].sum(1)[below > 0] / below[below > 0]
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(value.sum() / weight.sum()), float(low), float(high), len(value))
