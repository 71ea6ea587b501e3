"""What the watermark withstands, and how often sound without one is taken for marked.

python benchmarks/watermark.py null CORPUS [FEATURES …]      the highest correlations of unmarked windows
python benchmarks/watermark.py attacks CORPUS [--clips N]    marked clips of people, attacked
python benchmarks/watermark.py mark CORPUS                   speed, and what the mark costs

CORPUS is a folder with `manifest.tsv`. `null` hears all of it, what lies in folders of features besides, and
an hour of made-up music; it prints what `_NULL` of the detector is to be, and how often its threshold was
passed. `attacks` takes clips of 3, 1 and 10 s of `dev-unseen` people, marks them, and prints for every attack
the share that is called marked, and the share whose payload is read. What it has found is in `--out`, where
it goes on; `--part 0 --parts 2` and `--part 1 --parts 2` share the work of two processes. Beside it, on 3 s,
Perth (PyPI `resemble-perth`, MIT, weights inside; needs `setuptools<81`), where it is installed: the share in
which it says that its own mark is there, in the first 30 clips.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import av
import librosa
import numpy as np
import soundfile
import soxr
from pesq import pesq
from scipy import signal
from scipy.optimize import minimize
from scipy.special import log_ndtr
from tqdm import tqdm

from voiceswap import audio
from voiceswap.provenance.watermark import PUBLIC_KEY, detect, detecting, embed
from voiceswap.provenance.watermark.spectrum import heard

RATE = 24000
OTHER_KEY = b"a key of somebody else"
Samples = np.ndarray
Attack = Callable[[Samples, "Context"], Samples]


class Context:
    """What an attack may need besides the marked clip: chance, other recordings, the unmarked clip."""

    def __init__(self, rng: np.random.Generator, clips: list[Samples], original: Samples) -> None:
        self.rng, self.clips, self.original = rng, clips, original

    def other(self, count: int) -> Samples:
        """Somebody else's speech [count]."""
        return np.resize(self.clips[int(self.rng.integers(len(self.clips)))], count)


def scaled(sound: Samples, like: Samples, below_db: float) -> Samples:
    """`sound` so many decibels below `like`."""
    ratio = np.sqrt(np.square(like).mean() / max(np.square(sound).mean(), 1e-12))
    return sound * ratio * 10 ** (-below_db / 20)


def through(name: str, container: str, bit_rate: int, clip: Samples, _: Context) -> Samples:
    """Coded and decoded by ffmpeg's libraries."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(name, rate=RATE, layout="mono")
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(np.clip(clip, -1, 1)[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        coder = av.AudioResampler(format=stream.codec_context.format.name, layout="mono", rate=RATE)
        for part in [*coder.resample(frame), *coder.resample(None)]:
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as coded:
        floats = av.AudioResampler(format="fltp", layout="mono", rate=RATE)
        frames = [part for frame in coded.decode(audio=0) for part in floats.resample(frame)]
        return np.concatenate([part.to_ndarray()[0] for part in [*frames, *floats.resample(None)]])


def vorbis(clip: Samples, _: Context) -> Samples:
    file = io.BytesIO()
    soundfile.write(file, clip, RATE, format="OGG", subtype="VORBIS")
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def resampled(rate: int, clip: Samples, _: Context) -> Samples:
    return soxr.resample(soxr.resample(clip, RATE, rate), rate, RATE)


def filtered(kind: str, hertz: float, clip: Samples, _: Context) -> Samples:
    return signal.sosfilt(signal.butter(6, hertz, kind, fs=RATE, output="sos"), clip).astype(np.float32)


def equalized(clip: Samples, context: Context) -> Samples:
    """Up to 12 dB up or down in seven bands."""
    gains = 10 ** (context.rng.uniform(-12, 12, 9) / 20)
    places = np.array([0, 100, 300, 700, 1500, 3000, 6000, 9000, 12000])
    return signal.fftconvolve(clip, signal.firwin2(511, places, gains, fs=RATE), "same").astype(np.float32)


def white(below: float, clip: Samples, context: Context) -> Samples:
    return clip + scaled(context.rng.normal(size=len(clip)), clip, below)


def babble(below: float, clip: Samples, context: Context) -> Samples:
    return clip + scaled(sum(context.other(len(clip)) for _ in range(6)), clip, below)


def music(count: int, rng: np.random.Generator) -> Samples:
    """Chords of plucked strings, a bass and drums, made up: no recorded music is at hand."""
    out = np.zeros(count + 4 * RATE, np.float32)
    beat = int(RATE * rng.uniform(0.2, 0.6))
    scale = 110 * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16]) / 12) * 2 ** rng.uniform(0, 1)
    decay = np.exp(-np.arange(2 * RATE) / RATE * 3).astype(np.float32)
    seconds = np.arange(2 * RATE) / RATE
    for start in range(0, count, beat):
        for pitch in rng.choice(scale, int(rng.integers(1, 4)), replace=False):
            partials = sum(
                np.sin(2 * np.pi * pitch * k * seconds) / k ** rng.uniform(1, 2) for k in range(1, 12)
            )
            out[start : start + len(decay)] += 0.1 * partials.astype(np.float32) * decay
        if rng.random() < 0.6:
            hit = rng.normal(size=RATE // 8) * np.exp(-np.arange(RATE // 8) / RATE * rng.uniform(20, 90))
            out[start : start + len(hit)] += 0.15 * hit.astype(np.float32)
    return out[:count] / max(1.0, float(np.abs(out).max()))


def echo(clip: Samples, _: Context) -> Samples:
    late = np.pad(clip, (RATE // 5, 0))[: len(clip)]
    return clip + 0.5 * late


def reverberated(clip: Samples, context: Context) -> Samples:
    """A room of 0.5 s: noise that decays by 60 dB."""
    room = context.rng.normal(size=RATE // 2) * 10 ** (-3 * np.arange(RATE // 2) / (RATE // 2))
    room[0] = 4.0
    return scaled(signal.fftconvolve(clip, room)[: len(clip)], clip, 0).astype(np.float32)


def clipped(clip: Samples, _: Context) -> Samples:
    limit = np.abs(clip).max() / 4
    return np.clip(clip, -limit, limit)


def companded(clip: Samples, _: Context) -> Samples:
    """8-bit µ-law."""
    code = np.round(np.sign(clip) * np.log1p(255 * np.minimum(np.abs(clip), 1)) / np.log(256) * 127) / 127
    return (np.sign(code) * np.expm1(np.abs(code) * np.log(256)) / 255).astype(np.float32)


def played(factor: float, clip: Samples, _: Context) -> Samples:
    """Faster and higher by `factor`."""
    return soxr.resample(clip, RATE * factor, RATE)


def cropped(clip: Samples, context: Context) -> Samples:
    start = int(context.rng.integers(0, max(1, len(clip) - RATE)))
    return clip[start : start + RATE]


def spliced(clip: Samples, context: Context) -> Samples:
    """The middle second taken out of a longer clip, the halves of a shorter one exchanged."""
    if len(clip) < 3 * RATE:
        return np.concatenate([clip[len(clip) // 2 :], clip[: len(clip) // 2]])
    middle = len(clip) // 2
    return np.concatenate([clip[: middle - RATE // 2], clip[middle + RATE // 2 :]])


def denoised(clip: Samples, context: Context) -> Samples:
    """Noise at 20 dB, and spectral subtraction of what is left."""
    noisy = white(20, clip, context)
    _, _, spectrum = signal.stft(noisy, RATE, nperseg=512)
    floor = np.quantile(np.abs(spectrum), 0.1, axis=1, keepdims=True)
    gain = np.maximum(1 - 2 * floor / np.maximum(np.abs(spectrum), 1e-9), 0.1)
    return signal.istft(spectrum * gain, RATE, nperseg=512)[1][: len(clip)].astype(np.float32)


def vocoded(studio: list, clip: Samples, _: Context) -> Samples:
    """Taken apart and put together by the shipped vocoder, which marks nothing here."""
    import torch

    from voiceswap.acoustics import Acoustics, f0_track, log_mel
    from voiceswap.rendering import render

    acoustics = Acoustics(log_mel(torch.from_numpy(clip)[None])[0], torch.from_numpy(f0_track(clip)))
    return np.concatenate(list(render(studio[0]._models.vocoder, acoustics, seed=0)))[: len(clip)]


def forged(clip: Samples, context: Context) -> Samples:
    """The ratio of marked to original spectra (an attacker who has both) put onto another recording."""
    target = context.other(len(clip))
    marked, original, other = (
        signal.stft(x, RATE, nperseg=1024)[2] for x in (clip, context.original, target)
    )
    gain = np.clip(np.abs(marked) / np.maximum(np.abs(original), 1e-6), 0.5, 2)
    return signal.istft(other * gain, RATE, nperseg=1024)[1][: len(clip)].astype(np.float32)


def remarked(clip: Samples, _: Context) -> Samples:
    """An attacker without the key puts a mark of another key over it, twice as deep."""
    return embed(clip, 1, key=OTHER_KEY, depth_db=5.0)


def flattened(clip: Samples, _: Context) -> Samples:
    """An attacker without the key smooths magnitudes over 90 ms and a tenth of an octave, where marks lie."""
    _, _, spectrum = signal.stft(clip, RATE, nperseg=1024, noverlap=768)
    level = np.log(np.abs(spectrum) + 1e-7)
    smooth = signal.convolve2d(level, np.ones((5, 9)) / 45, "same", "symm")
    made = np.exp(smooth + 1j * np.angle(spectrum))
    return signal.istft(made, RATE, nperseg=1024, noverlap=768)[1][: len(clip)].astype(np.float32)


def attacks(studio: list) -> dict[str, Attack]:
    """What is done to a clip, by name."""
    return {
        "none": lambda clip, _: clip,
        "MP3, 64 kbit/s": partial(through, "libmp3lame", "mp3", 64000),
        "MP3, 32 kbit/s": partial(through, "libmp3lame", "mp3", 32000),
        "AAC, 64 kbit/s": partial(through, "aac", "adts", 64000),
        "Opus, 24 kbit/s": partial(through, "libopus", "ogg", 24000),
        "Opus, 16 kbit/s": partial(through, "libopus", "ogg", 16000),
        "Vorbis": vorbis,
        "16 kHz and back": partial(resampled, 16000),
        "8 kHz and back": partial(resampled, 8000),
        "low-pass 4 kHz": partial(filtered, "low", 4000),
        "high-pass 500 Hz": partial(filtered, "high", 500),
        "high-pass 1.5 kHz": partial(filtered, "high", 1500),
        "white noise, 20 dB": partial(white, 20),
        "white noise, 10 dB": partial(white, 10),
        "babble, 20 dB": partial(babble, 20),
        "babble, 10 dB": partial(babble, 10),
        "echo": echo,
        "reverberation, 0.5 s": reverberated,
        "gain, -12 dB, and polarity": lambda clip, _: -0.25 * clip,
        "clipped at a quarter of its peak": clipped,
        "8 bit": lambda clip, _: np.round(clip * 127) / 127,
        "µ-law": companded,
        "equalizer, ±12 dB": equalized,
        "time stretch, 0.8": lambda clip, _: librosa.effects.time_stretch(clip, rate=1.25),
        "time stretch, 1.25": lambda clip, _: librosa.effects.time_stretch(clip, rate=0.8),
        "speed 0.8": partial(played, 0.8),
        "speed 1.25": partial(played, 1.25),
        "pitch, +2 semitones": lambda clip, _: librosa.effects.pitch_shift(clip, sr=RATE, n_steps=2),
        "pitch, -2 semitones": lambda clip, _: librosa.effects.pitch_shift(clip, sr=RATE, n_steps=-2),
        "cropped to 1 s": cropped,
        "spliced": spliced,
        "another voice over it, 0 dB": lambda clip, c: clip + scaled(c.other(len(clip)), clip, 0),
        "music over it, 0 dB": lambda clip, c: clip + scaled(music(len(clip), c.rng), clip, 0),
        "noise at 20 dB, suppressed": denoised,
        "our vocoder": partial(vocoded, studio),
        "marked again with another key": remarked,
        "magnitudes smoothed": flattened,
        "mark copied to another recording": forged,
        "looked for with another key": lambda clip, _: clip,
        "never marked": lambda _, c: c.original,
    }


def rows(corpus: Path) -> list[dict[str, str]]:
    """The manifest's."""
    with (corpus / "manifest.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def clips_of(corpus: Path, seconds: float, count: int) -> list[Samples]:
    """Clips at random places of the recordings, joined, of each person never trained on."""
    rng = np.random.default_rng(0)
    found: dict[str, list[Samples]] = {}
    for row in rows(corpus):
        if row["split"] == "dev-unseen":
            found.setdefault(row["speaker"], []).append(audio.read(corpus / row["path"]))
    people = [np.concatenate(found[name]) for name in sorted(found)]
    size, made = round(seconds * RATE), []
    while len(made) < count:
        person = people[len(made) % len(people)]
        start = int(rng.integers(0, max(1, len(person) - size)))
        made.append(person[start : start + size].astype(np.float32))
    return made


def other_marker() -> Any:
    """Perth's, or None."""
    try:
        import perth
    except ImportError:
        return None
    # Without pkg_resources the package imports, and its marker is silently None.
    return perth.PerthImplicitWatermarker() if perth.PerthImplicitWatermarker else None


def measure_mark(corpus: Path) -> None:
    """Speed, and what the mark costs."""
    clips = clips_of(corpus, 10, 50)
    sound = np.concatenate(clips[:12])
    start = time.process_time()
    embed(sound, 1)
    middle = time.process_time()
    detect(sound)
    end = time.process_time()
    length = len(sound) / RATE
    print(f"embedding {length / (middle - start):.0f} x, detecting {length / (end - middle):.0f} x real time")
    scores = []
    for clip in clips:
        marked = embed(clip, 1)
        narrow = [soxr.resample(x, RATE, 16000) for x in (clip, marked)]
        ratio = np.square(clip).sum() / np.square(marked - clip).sum()
        scores.append((pesq(16000, *narrow, "wb"), 10 * np.log10(ratio)))
    (quality, ratio), (worst, _) = np.mean(scores, 0), np.min(scores, 0)
    print(f"PESQ of the mark {quality:.2f} (worst {worst:.2f}), signal to mark {ratio:.1f} dB")


def measured(name: str, attack: Attack, clips: list[Samples], seconds: int) -> dict[str, Any]:
    """How many of the marked and attacked `clips` are called marked, and of how many the payload is read."""
    rng, called, read = np.random.default_rng(1), 0, 0
    for number, clip in enumerate(clips):
        payload = int(rng.integers(2**32))
        marked = attack(embed(clip, payload), Context(rng, clips[:number] or clips[1:], clip))
        key = OTHER_KEY if name == "looked for with another key" else PUBLIC_KEY
        finding = detect(marked.astype(np.float32), key=key)
        called += finding.verdict == "marked"
        read += finding.payload == payload
    return {"what": name, "seconds": seconds, "clips": len(clips), "marked": called, "read": read}


def measured_other(name: str, attack: Attack, clips: list[Samples], other: Any) -> dict[str, Any]:
    """The same of the mark of Perth, in the first 30 clips."""
    rng, said = np.random.default_rng(1), 0
    for number, clip in enumerate(clips[:30]):
        marked = np.asarray(other.apply_watermark(clip, sample_rate=RATE), np.float32)[: len(clip)]
        sound = attack(marked, Context(rng, clips[:number] or clips[1:], clip))
        said += float(other.get_watermark(sound.astype(np.float32), sample_rate=RATE)) > 0.5
    return {"what": name, "seconds": "Perth, 3", "clips": len(clips[:30]), "marked": said, "read": 0}


def measure_attacks(corpus: Path, given: argparse.Namespace) -> None:
    """Measure what `given.out` does not hold yet, and print the table of all that it then holds."""
    import voiceswap

    known, other = attacks([voiceswap.load("cpu")]), other_marker()
    done = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.is_file() else []
    there = {(row["what"], row["seconds"]) for row in done if row["clips"] >= given.clips}
    for seconds in given.seconds:
        clips = clips_of(corpus, seconds, given.clips)
        for name, attack in tqdm(
            list(known.items())[given.part :: given.parts], f"{seconds} s", disable=None
        ):
            found = [] if (name, seconds) in there else [measured(name, attack, clips, seconds)]
            if other is not None and seconds == 3 and "key" not in name:
                found.append(measured_other(name, attack, clips, other))
            with given.out.open("a") as file:  # whole lines of several processes
                file.writelines(f"{json.dumps(row)}\n" for row in found)
    rows = {(r["what"], str(r["seconds"])): r for r in map(json.loads, given.out.read_text().splitlines())}
    columns = [c for c in ("1", "3", "10", "Perth, 3") if any(place == c for _, place in rows)]
    print(f"| what was done | {' | '.join(f'{c} s' for c in columns)} | payload read, 10 s |")
    print("|---" * (len(columns) + 2) + "|")
    for name in known:
        of = [rows.get((name, c)) for c in columns]
        cells = ["–" if row is None else f"{100 * row['marked'] / row['clips']:.1f} %" for row in of]
        long = rows.get((name, "10"))
        cells.append("–" if long is None else f"{100 * long['read'] / long['clips']:.0f} %")
        print(f"| {name} | {' | '.join(cells)} |")


def unmarked(corpus: Path, features: list[Path]) -> Iterator[tuple[str, Samples]]:
    """Sound without a mark: what kind, and samples."""
    for row in rows(corpus):
        yield "people", audio.read(corpus / row["path"])
    from voiceswap.data.batches import load_utterances

    for folder in features:
        for utterance in load_utterances([folder]):
            yield folder.name, utterance.audio()
    rng = np.random.default_rng(0)
    for _ in range(120):
        yield "music", music(30 * RATE, rng)


_LOOKS = ("", ", unmoved", ", unmoved and clear")


def measure_null(corpus: Path, features: list[Path]) -> None:
    """The highest correlation of every window of 1, 3 and 12 s."""
    lengths = {"1 s": 94, "3 s": 280, "12 s": 1120}
    highest: dict[str, list[float]] = {f"{name}{kind}": [] for name in lengths for kind in _LOOKS}
    likely: dict[str, list[float]] = {name: [] for name in lengths}
    seconds: dict[str, float] = {}
    buffers: dict[str, list[Samples]] = {}
    templates = detecting._templates(PUBLIC_KEY)
    plain = [template for template in templates if template[0] == 1.0]
    for kind, samples in tqdm(unmarked(corpus, features), disable=None):
        seconds[kind] = seconds.get(kind, 0) + len(samples) / RATE
        held = buffers.setdefault(kind, [])
        held.append(samples)
        if sum(map(len, held)) < 12 * RATE:
            continue
        sound = heard(np.concatenate(held)[: 60 * RATE].astype(np.float32))
        held.clear()
        for name, frames in lengths.items():
            used, null = (templates, detecting._NULL) if frames < 1000 else (plain, detecting._NULL_LONG)
            for begin in range(0, len(sound) - frames + 1, frames):
                fit = detecting._fit(sound[begin : begin + frames], 0, PUBLIC_KEY, used, null)
                highest[name].append(fit.z)
                highest[f"{name}, unmoved"].append(fit.plain)
                highest[f"{name}, unmoved and clear"].append(fit.clear)
                likely[name].append(fit.log_p)
    print({kind: f"{length / 3600:.2f} h" for kind, length in seconds.items()})
    for name, values in highest.items():
        z = np.array(values)

        def unlikely(fit: np.ndarray, z: np.ndarray = z) -> float:
            """Negative log-likelihood of the highest of exp(fit[0]) normal numbers of deviation fit[1]."""
            trials, spread = np.exp(fit)
            below = log_ndtr(z / spread)
            density = np.log(trials) + (trials - 1) * below - 0.5 * (z / spread) ** 2 - np.log(spread)
            return -float(density.sum())

        fit = np.exp(minimize(unlikely, [8.0, 0.0], method="Nelder-Mead").x)
        null = detecting._Null(*fit)
        print(f"{name}: {len(z)} windows, highest {z.max():.2f}; trials {fit[0]:.0f}, spread {fit[1]:.3f}")
        for p in (0.1, 0.01, 1e-3, 1e-4):
            print(f"  p < {p:g}: {np.mean([null.log_p(x) < np.log(p) for x in z]):.2g} of them")
    for name, values in likely.items():
        shares = [
            f"p < {p:g}: {np.mean(np.array(values) < np.log(p)):.2g}" for p in (0.1, 0.01, 1e-3, 1e-4, 1e-5)
        ]
        print(f"{name} by the detector: {', '.join(shares)}, least {np.exp(min(values)):.2g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("what", choices=["null", "attacks", "mark"])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("features", type=Path, nargs="*")
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--seconds", type=int, nargs="+", default=[3, 1, 10])
    parser.add_argument("--out", type=Path, default=Path("attacks.jsonl"))
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    if given.what == "null":
        measure_null(given.corpus, given.features)
    elif given.what == "mark":
        measure_mark(given.corpus)
    else:
        measure_attacks(given.corpus, given)


if __name__ == "__main__":
    main()
