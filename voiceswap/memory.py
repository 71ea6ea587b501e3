"""Memory that is freed and soon wanted again."""

from __future__ import annotations

import ctypes
import os
import sys

_TRIM, _MMAP = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h
_KEPT, _LARGE = 64 << 20, 16 << 20  # bytes
_SAID = ("GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")


def keep_freed() -> None:
    """Let malloc keep up to 64 MB of what is freed, for what is wanted next; of the whole process.

    Else glibc gives the arrays of a sentence back to the system and fetches them anew for the next one, page
    by page, which takes a tenth of the time of speech. Other C libraries, and what the environment says of
    the matter (`_SAID`), are left alone.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _SAID):
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        library.mallopt(_TRIM, _KEPT)
        library.mallopt(_MMAP, _LARGE)
