"""Whether the melody was kept: F0 of one recording against another of the same timing, tracked by Praat.

Boersma, "Accurate short-term analysis of the fundamental frequency", 1993. Our own tracker drives the models
and would find again what it had put in.
"""

from __future__ import annotations

import numpy as np

from voiceswap.evaluation.extras import require

F0_MIN, F0_MAX = 60.0, 500.0
FRAME_SECONDS = 0.01
SLIP = 0.5 * np.log(2)
"""A frame this far from the usual ratio of two melodies, half an octave, is a tracker's slip."""


def track(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """F0 in Hz [T] of `samples` [N] every 10 ms, 0 where unvoiced; empty for less than 0.1 s."""
    if len(samples) < 0.1 * sample_rate:
        return np.zeros(0, np.float32)
    sound = require("parselmouth", package="praat-parselmouth").Sound(samples.astype(np.float64), sample_rate)
    pitch = sound.to_pitch_ac(time_step=FRAME_SECONDS, pitch_floor=F0_MIN, pitch_ceiling=F0_MAX)
    return np.asarray(pitch.selected_array["frequency"], np.float32)


def compare(f0: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """How well two tracks [T] agree.

    `f0_correlation` is Pearson's of log F0 over frames voiced in both, without those that `f0_slips` counts:
    frames more than half an octave off the median ratio. In creaky voice every tracker jumps by octaves now
    and then, between two takes of the same melody as well; `f0_correlation_all` includes them.
    `voicing_error` is the share of all frames that one track holds for voiced and the other does not.
    """
    length = min(len(f0), len(other))
    first, second = f0[:length], other[:length]
    voiced = (first > 0) & (second > 0)
    if voiced.sum() < 10:
        return {"voicing_error": float(((first > 0) != (second > 0)).mean()) if length else float("nan")}
    pair = np.log(np.stack([first[voiced], second[voiced]]))
    ratio = pair[0] - pair[1]
    kept = np.abs(ratio - np.median(ratio)) < SLIP
    return {
        "f0_correlation": _pearson(pair[:, kept]),
        "f0_correlation_all": _pearson(pair),
        "f0_slips": float(1 - kept.mean()),
        "voicing_error": float(((first > 0) != (second > 0)).mean()),
    }


def spread(f0: np.ndarray) -> float:
    """Standard deviation of the track [T] about its median, in semitones: how lively a sentence is spoken.

    Frames over 14 semitones away are a tracker's slips and do not count; nan below ten voiced frames.
    """
    semitones = 12 * np.log2(f0[f0 > 0])
    if len(semitones) < 10:
        return float("nan")
    apart = semitones - np.median(semitones)
    return float(np.sqrt(np.square(apart[np.abs(apart) < 14]).mean()))


def _pearson(pair: np.ndarray) -> float:
    """Correlation of the rows of [2, T]; nan where one does not move, having no melody to agree with."""
    return float(np.corrcoef(pair)[0, 1]) if (pair.std(axis=1) > 1e-3).all() else float("nan")
