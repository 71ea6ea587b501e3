"""What several test files share: real recordings, the bundled studio, and the skipping of GPU tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from voiceswap import Studio

DATA = Path(__file__).parent / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `gpu` where there is no CUDA device."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked:
        import torch

        if not torch.cuda.is_available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason="no CUDA device here"))


@pytest.fixture(scope="session")
def kathleen() -> list[Path]:
    """Three recordings of one woman, of 3.1 to 3.6 s, in English (CC0)."""
    return sorted(DATA.glob("kathleen-*.opus"))


@pytest.fixture(scope="session")
def nathalie() -> list[Path]:
    """Two recordings of another woman, of 2.6 and 3.4 s, in Dutch (CC0)."""
    return sorted(DATA.glob("nathalie-*.opus"))


@pytest.fixture(scope="session")
def bundled_weights() -> Path:
    """The folder of the bundled weights."""
    from voiceswap.checkpoint import MODELS

    folder = Path(str(files("voiceswap"))) / "weights"
    wanted = [*(f"{kind}.safetensors" for kind in MODELS), "voices.json"]
    if missing := [name for name in wanted if not (folder / name).is_file()]:
        pytest.skip(f"not trained yet, so not in voiceswap/weights: {', '.join(missing)}")
    return folder


@pytest.fixture(scope="session")
def studio(bundled_weights: Path) -> Studio:
    """The studio of the bundled weights, on the CPU."""
    import voiceswap

    return voiceswap.load(device="cpu")


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of the tests' own, so that no signing key is made in the user's."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VOICESWAP_HOME", str(home))
        yield home


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five tiny models that have learned nothing, with two built-in voices."""
    import torch

    from voiceswap import checkpoint

    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for kind, (model_class, _) in checkpoint.MODELS.items():
            sizes = import_module(model_class.__module__).SIZES
            checkpoint.save(model_class(sizes["tiny"]), folder / f"{kind}.safetensors")
    rows = [
        {"name": name, "vector": [0.0] * axis + [1.0] + [0.0] * (191 - axis)}
        | {"f0_median": f0, "f0_spread": 0.2, "rate": 13.0}
        for axis, (name, f0) in enumerate([("alto-1", 200.0), ("tenor-1", 120.0)])
    ]
    (folder / "voices.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny_studio(tiny_weights: Path) -> Studio:
    """The studio of the tiny models: everything works, and nothing is worth hearing."""
    import voiceswap

    return voiceswap.load("cpu", weights=tiny_weights)
