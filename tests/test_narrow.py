"""Taking hidden units out: what others can say costs nothing, and what is lost is made up for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def narrow() -> Iterator[ModuleType]:
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("the benchmarks do not come with the source distribution")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield importlib.import_module("narrow")


def hidden(free: int, copies: int) -> torch.Tensor:
    """[frames, units + 1]: `free` units, `copies` that are sums of them, and the constant 1."""
    chance = torch.Generator().manual_seed(0)
    units = torch.randn(400, free, generator=chance, dtype=torch.float64)
    mixed = units @ torch.randn(free, copies, generator=chance, dtype=torch.float64) + 0.5
    return torch.cat([mixed, units, torch.ones(400, 1, dtype=torch.float64)], 1)


def test_units_that_others_can_say_go_first_and_nothing_is_lost(narrow: ModuleType) -> None:
    given = hidden(free=6, copies=3)
    weights = torch.randn(4, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    staying, moved = narrow.surgery(given.T @ given / 400, weights, keep=6)
    assert len(staying) == 6
    gone = sorted(set(range(9)) - set(staying.tolist()))
    assert moved[:, gone].abs().max() == 0
    torch.testing.assert_close(given @ moved.T, given @ weights.T, rtol=0, atol=1e-3)


def test_what_stays_is_the_best_fit_of_the_outputs(narrow: ModuleType) -> None:
    given = hidden(free=8, copies=0)
    weights = torch.randn(4, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    staying, moved = narrow.surgery(given.T @ given / 400, weights, keep=5)
    columns = [*staying.tolist(), 8]
    fitted = torch.linalg.lstsq(given[:, columns], given @ weights.T).solution
    torch.testing.assert_close(moved[:, columns].T, fitted, rtol=1e-3, atol=1e-4)
