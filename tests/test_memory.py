"""What a process does with memory that it frees."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import voiceswap
from voiceswap import memory


@pytest.mark.parametrize(
    ("platform", "environment", "glibc", "expected"),
    [
        ("linux", {}, True, [(-1, 64 << 20), (-3, 16 << 20)]),
        ("linux", {"MALLOC_TRIM_THRESHOLD_": "0"}, True, []),
        ("linux", {"GLIBC_TUNABLES": "glibc.malloc.check=1"}, True, []),
        ("linux", {}, False, []),
        ("darwin", {}, True, []),
    ],
)
def test_freed_memory_is_kept_where_glibc_would_give_it_back(
    platform: str,
    environment: dict[str, str],
    glibc: bool,
    expected: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[int, int]] = []
    version = {"gnu_get_libc_version": None} if glibc else {}
    library = SimpleNamespace(mallopt=lambda name, value: asked.append((name, value)), **version)
    for name in memory._SAID:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(memory, "sys", SimpleNamespace(platform=platform))
    monkeypatch.setattr(memory, "ctypes", SimpleNamespace(CDLL=lambda name: library))
    voiceswap.load("cpu")
    assert asked == expected
