"""Measure what `voiceswap evaluate` does not: starting, the first sound, speed, memory and size.

    python benchmarks/limits.py limits.json [--no-long] [--no-start] [--weights FOLDER] [--device cpu]

`--no-long` leaves out the 30,000 words and the hour, which take minutes. Processor seconds do not count what
other programs do; all other times do, so measure on an idle machine. Memory is the largest resident set of
the whole process, as the kernel counts it (Linux and macOS).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voiceswap.evaluation.protocol import bundled_sentences

if TYPE_CHECKING:
    from voiceswap import Studio, Voice

ROOT = Path(__file__).parents[1]
RECORDING = ROOT / "tests" / "data" / "kathleen-1.opus"
VOICE = "alto-1"
WORDS = 30_000
HOUR = 3600.0
SHORT = "Hello."
LONG = (
    "When the last of the boats had come in and the nets were hung along the wall to dry, the old man who "
    "kept the light walked slowly down to the harbor, counted the masts as he had done every evening for "
    "thirty years, and found that one of them was missing."
)
IMPORT = "import torch, time; t = time.perf_counter(); import voiceswap; print(time.perf_counter() - t)"


@dataclass(frozen=True)
class Limit:
    """One figure: the median of `runs` measurements, and the worst of them."""

    name: str
    label: str
    unit: str
    value: float
    worst: float
    runs: int


@dataclass(frozen=True)
class Usage:
    """What one process took."""

    seconds: float
    cpu_seconds: float
    memory_mb: float
    printed: str


def limit(name: str, label: str, unit: str, values: Sequence[float], *, high_is_good: bool = False) -> Limit:
    worst = min(values) if high_is_good else max(values)
    return Limit(name, label, unit, statistics.median(values), worst, len(values))


def run(command: Sequence[str]) -> Usage:
    """Run `command` to its end; exits with its error output where it fails."""
    with tempfile.TemporaryFile("w+") as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        printed = output.read()
    if process.returncode:
        sys.exit(f"{' '.join(command)}\nended with {process.returncode}:\n{printed}")
    peak = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return Usage(seconds, usage.ru_utime + usage.ru_stime, peak, printed)


def cold_start(command: Callable[..., list[str]], folder: Path, runs: int) -> Iterator[Limit]:
    """The whole of `voiceswap speak`, and what `import voiceswap` adds to torch."""
    made = [run(command("speak", SHORT, "-o", str(folder / f"{k}.wav"))) for k in range(runs)]
    yield limit(
        "start_seconds", "`voiceswap speak` of one word, whole process", "s", [u.seconds for u in made]
    )
    yield limit("start_cpu_seconds", "the same, processor time", "s", [u.cpu_seconds for u in made])
    added = [float(run([sys.executable, "-c", IMPORT]).printed.split()[-1]) for _ in range(runs)]
    yield limit("import_seconds", "`import voiceswap` after `import torch`", "s", added)


def long_work(command: Callable[..., list[str]], folder: Path, recording: Path) -> Iterator[Limit]:
    """Memory and speed of the command line on 30,000 words, and on an hour of `recording` over and over."""
    words = list(islice(cycle(" ".join(bundled_sentences()).split()), WORDS))
    text, hour = folder / "words.txt", folder / "hour.flac"
    text.write_text(" ".join(words) + ".\n", encoding="utf-8")
    repeat(recording, hour, seconds=HOUR)
    spoken, converted = folder / "spoken.opus", folder / "converted.flac"
    for name, label, arguments, out in (
        ("speak", f"{WORDS:,} words of text", ["speak", "--file", str(text)], spoken),
        ("convert", "a recording of one hour", ["convert", str(hour)], converted),
    ):
        used = run(command(*arguments, "-o", str(out)))
        audio = duration(out)
        yield limit(f"{name}_memory_mb", f"peak memory, {label}", "MB", [used.memory_mb])
        yield limit(f"{name}_long_minutes", f"time taken, {label}", "min", [used.seconds / 60])
        yield limit(
            f"{name}_long_speed",
            f"seconds of audio from a second of processor time, {label}",
            "×",
            [audio / used.cpu_seconds],
        )


def repeat(recording: Path, out: Path, *, seconds: float) -> None:
    """Write `recording` again and again into `out`, until it lasts `seconds`."""
    import soundfile

    samples, rate = soundfile.read(recording, dtype="float32")
    left = round(seconds * rate)
    with soundfile.SoundFile(out, "w", samplerate=rate, channels=samples.ndim) as file:
        while left > 0:
            file.write(samples[:left])
            left -= len(samples)


def duration(path: Path) -> float:
    import soundfile

    return float(soundfile.info(path).duration)


def first_piece(studio: Studio, voice: Voice, runs: int) -> Iterator[Limit]:
    """From the call of `stream` to the first piece, once the models are loaded."""
    import torch

    for threads in (1, 2):
        torch.set_num_threads(threads)
        for name, label, text in (
            ("short", "one word", SHORT),
            ("long", f"a first sentence of {len(LONG.split())} words", LONG),
        ):
            times = []
            for _ in range(runs + 1):  # the first one loads the models
                start = time.perf_counter()
                next(iter(studio.stream(text, voice)))
                times.append(time.perf_counter() - start)
            title = f"first piece of `stream`, {label}, {threads} thread{'s' * (threads > 1)}"
            yield limit(f"first_{name}_{threads}_seconds", title, "s", times[1:])


def speed(studio: Studio, voice: Voice, recording: Path, runs: int) -> Iterator[Limit]:
    """Seconds of audio from a second, on one thread."""
    import torch

    from voiceswap.evaluation.generate import Stopwatch

    torch.set_num_threads(1)
    text = " ".join(bundled_sentences()[:4])
    works: dict[str, Callable[[], Any]] = {
        "speak": lambda: studio.speak(text, voice),
        "convert": lambda: studio.convert(recording, voice),
    }
    for name, work in works.items():
        watches = [Stopwatch() for _ in range(runs)]
        work()
        for watch in watches:
            watch.time(work, lambda made: made.duration)
        title = f"seconds of audio from a second of one core, `{name}`"
        used = [watch.audio_seconds / watch.cpu_seconds for watch in watches]
        waited = [watch.audio_seconds / watch.seconds for watch in watches]
        yield limit(f"{name}_speed", f"{title}, processor time", "×", used, high_is_good=True)
        yield limit(f"{name}_wall_speed", f"{title}, by the clock", "×", waited, high_is_good=True)
    if studio.device.type == "cuda":
        peak = torch.cuda.max_memory_allocated() / 1e6
        yield limit("gpu_memory_mb", "peak memory on the GPU", "MB", [peak])


def machine(device: str) -> dict[str, Any]:
    """Where this was measured, and what else the machine was doing."""
    import torch

    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.split(":")[1] for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        name = names[0].strip() if names else name
    return {
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU",
        "cpu": name,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="JSON file to write")
    parser.add_argument("--weights", type=Path, default=ROOT / "voiceswap" / "weights")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--recording", type=Path, default=RECORDING, help="what is converted")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-start", action="store_true", help="leave out starting and importing")
    parser.add_argument("--no-long", action="store_true", help="leave out 30,000 words and the hour")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    options = ["--voice", VOICE, "--weights", str(args.weights), "--device", args.device]

    def command(verb: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "voiceswap", verb, *arguments, *options]

    found: list[Limit] = []

    def keep(limits: Iterator[Limit]) -> None:
        for one in limits:
            found.append(one)
            print(f"{one.label:<75} {one.value:9.2f} {one.unit:<3} worst {one.worst:9.2f} of {one.runs}")

    sizes = [path.stat().st_size / 1e6 for path in args.weights.glob("*.safetensors")]
    keep(iter([limit("weights_mb", "weights of all models together", "MB", [sum(sizes)])]))
    with tempfile.TemporaryDirectory() as folder:
        # Processes first: on Linux a child's peak includes what its parent held when it was started, which
        # is little only as long as torch is not loaded here.
        if not args.no_start:
            keep(cold_start(command, Path(folder), args.runs))
        if not args.no_long:
            keep(long_work(command, Path(folder), args.recording))
    import voiceswap

    studio = voiceswap.load(args.device, weights=args.weights)
    keep(first_piece(studio, studio.voices[VOICE], args.runs))
    keep(speed(studio, studio.voices[VOICE], args.recording, args.runs))
    record = {
        "machine": machine(args.device),
        "load_at_start": load,
        "limits": [asdict(one) for one in found],
    }
    args.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
