"""From a model's name, a preset and feature folders to a training run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from voiceswap import checkpoint
from voiceswap.bundle import WEIGHTS
from voiceswap.data.features import FeatureStore
from voiceswap.data.shards import PLAN
from voiceswap.errors import DataError, OptionError
from voiceswap.models.synthesizer import Synthesizer
from voiceswap.training import presets
from voiceswap.training.loop import Task, train
from voiceswap.training.optimization import TrainingConfig
from voiceswap.training.stream import Stream, is_sharded


def run(
    kind: str,
    *,
    preset: str,
    data: Sequence[Path],
    out: Path,
    resume: bool = False,
    changed: bool = False,
    init: Path | None = None,
    teachers: Path | None = None,
    loop: dict[str, Any] | None = None,
    task: dict[str, Any] | None = None,
) -> dict[str, float]:
    """Train the model `kind` on the feature folders `data` into the folder `out`; return held-out figures.

    `init` starts from exported weights of the same kind; their size then wins over the preset's. `teachers`
    is the folder of the frozen models that the others learn from, the bundled weights by default: Synthesizer
    and Converter need the speaker encoder, the Converter the recognizer as well; a Vocoder that imitates
    needs all of them. `loop` and `task` replace fields of the preset's TrainingConfig and of its task
    settings. A resumed run has to be what it was, but for its end, unless `changed`. Raises OptionError for
    an unknown name or field, or for other settings on resuming, DataError and CheckpointError for what is on
    disk, and what `train` raises.
    """
    if kind not in checkpoint.MODELS:
        raise OptionError(
            f"model {kind!r}", "there is none of this name", f"Choose one of {', '.join(checkpoint.MODELS)}"
        )
    chosen = presets.find(kind, preset)
    settings = _replaced(chosen.task, task or {})
    config = _replaced(chosen.loop, loop or {})
    torch.manual_seed(config.seed)  # the first weights are drawn too
    model = _begun(kind, init, chosen.model, settings)
    stream = None
    if kind == "detector":  # hears recordings, not features
        folders = sorted(folder for path in data for folder in Path(path).iterdir() if folder.is_dir())
    elif any(is_sharded(Path(path)) for path in data):
        folders = [Path(path) for path in data]
        stream = _stream(kind, folders, config)
    else:
        folders = [folder for path in data for folder in stores(Path(path))]
    frozen = Teachers(teachers)
    built = _task(kind, model, folders, settings, frozen, stream)
    notes: dict[str, Any] = {"data": sorted({store.name for store in folders}), "preset": preset}
    if frozen.hashes:  # other ones' vectors mean nothing to it
        notes["teachers"] = frozen.hashes
    if init:
        notes |= {"from": init.name, "before": json.loads(checkpoint.read_header(init)["training"])}
    record = {
        **{"kind": kind, "preset": preset, "model": dataclasses.asdict(model.config)},
        "task": dataclasses.asdict(settings),
        "loop": {
            name: value
            for name, value in dataclasses.asdict(config).items()
            if name not in _NOT_RECORDED and (name != "window" or stream) and (name != "frozen" or value)
        },
        "teachers": dict(frozen.hashes),
        "data": {str(store): fingerprint(store) for store in folders},
    }
    return train(
        built,
        out,
        config=config,
        resume=resume,
        changed=changed,
        compared=init is not None,
        notes=notes,
        record=record,
    )


def _begun(kind: str, init: Path | None, sizes: Any, settings: Any) -> Any:
    """That of `init` or a new one, to be trained. A Synthesizer reads what it is going to learn."""
    if kind != "synthesizer":
        return checkpoint.load(init, kind).train() if init else checkpoint.MODELS[kind][0](sizes)
    if init:
        return checkpoint.load(init, kind).train().reading(settings.languages)
    return Synthesizer(dataclasses.replace(sizes, languages=tuple(settings.languages)))


_NOT_RECORDED = ("steps", "minutes", "log_every", "validate_minutes", "save_minutes", "workers")
"""The end may be moved, and what is only told does not change what is learnt."""


_STREAMED = ("vocoder", "synthesizer", "converter")


def _stream(kind: str, folders: list[Path], config: TrainingConfig) -> Stream:
    """The shards of the one folder in `folders`."""
    if kind not in _STREAMED:
        raise OptionError(
            f"training of the {kind} from shards",
            "it has to know all of its people or texts at once; these do not: " + ", ".join(_STREAMED),
            "Train it on feature folders: a part of a large corpus will do",
        )
    if len(folders) != 1:
        raise OptionError(
            ", ".join(map(str, folders)),
            "one folder of shards is read at a time",
            "Write the shards of all feature folders into one with `voiceswap shard`",
        )
    if config.window < 1:
        raise OptionError(f"window={config.window}", "it counts shards", "Give 1 or more")
    return Stream(folders[0], seed=config.seed, window=config.window)


def fingerprint(store: Path) -> str:
    """Of features or shards: what index, alignments and method say; of others, names and sizes."""
    digest = hashlib.sha256()
    names = ("index.jsonl", "alignments.json", "method.json", PLAN)
    told = [path for name in names if (path := store / name).is_file()]
    for path in told:
        digest.update(path.read_bytes())
    if not told:
        for path in sorted(p for p in store.rglob("*") if p.is_file()):
            digest.update(f"{path.relative_to(store)} {path.stat().st_size}\n".encode())
    return digest.hexdigest()[:16]


def stores(path: Path) -> list[Path]:
    """The feature folders at or right below `path`; DataError if there are none."""
    found = (
        [path] if (path / "index.jsonl").is_file() else sorted(p.parent for p in path.glob("*/index.jsonl"))
    )
    if not found:
        raise DataError(str(path), "it holds no features (index.jsonl)", "Run `voiceswap prepare` first")
    return found


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", tuple: "a list"}


def _replaced(settings: Any, fields: dict[str, Any]) -> Any:
    known = {field.name: field for field in dataclasses.fields(settings)}
    unknown = sorted(set(fields) - set(known))
    if unknown:
        raise OptionError(
            ", ".join(unknown), "there is no such setting", f"Choose from {', '.join(sorted(known))}"
        )
    for name, value in fields.items():
        old = getattr(settings, name)
        kind = int if old is None else type(old)
        optional = "None" in str(known[name].type)
        if isinstance(value, (int, float) if kind is float else kind) or (optional and value is None):
            continue
        rule = f"it is {_KINDS.get(kind, kind.__name__)}{' or null' * optional}, here {json.dumps(old)}"
        raise OptionError(f"{name}={value!r}", rule, "Give such a value, in JSON")
    return dataclasses.replace(settings, **fields)


class Teachers:
    """The frozen models of a folder that others learn from, the bundled ones by default.

    `hashes` holds, by kind, those of the models that were asked for.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder or WEIGHTS
        self.hashes: dict[str, str] = {}

    def __call__(self, kind: str) -> Any:
        """The trained model of a kind, noted down; errors as `checkpoint.load_from`."""
        model = checkpoint.load_from(self._folder, kind)
        self.hashes[kind] = model.weights_hash
        return model


def _task(
    kind: str,
    model: Any,
    folders: Sequence[Path],
    settings: Any,
    teacher: Teachers,
    stream: Stream | None = None,
) -> Task:
    """The task of a model's kind on feature folders, or on those of a `stream`'s shards that are held out."""
    from voiceswap.training.imitation import Imitation
    from voiceswap.training.tasks.converter import ConverterTask
    from voiceswap.training.tasks.detector import DetectorTask
    from voiceswap.training.tasks.phone_recognizer import PhoneRecognizerTask
    from voiceswap.training.tasks.speaker_encoder import SpeakerEncoderTask
    from voiceswap.training.tasks.synthesizer import SynthesizerTask
    from voiceswap.training.tasks.vocoder import VocoderTask

    there: Sequence[Path | FeatureStore] = folders if stream is None else stream.held or stream.stores()
    if kind == "detector":
        return DetectorTask(model, folders, settings)
    if kind == "vocoder":
        return VocoderTask(model, there, settings, lambda found: Imitation(teacher, found), stream)
    if kind == "phone-recognizer":
        return PhoneRecognizerTask(model, folders, settings)
    if kind == "speaker-encoder":
        return SpeakerEncoderTask(model, folders, settings)
    if kind == "synthesizer":
        listening = [teacher("phone-recognizer")] if settings.understood or settings.remembered else []
        if settings.remembered:
            listening.append(teacher("converter"))
        return SynthesizerTask(model, teacher("speaker-encoder"), there, settings, stream, *listening)
    recognizer = teacher("phone-recognizer")
    if recognizer.config.content != model.config.content:
        raise OptionError(
            f"a converter of content of {model.config.content} channels",
            f"the recognizer of the weights gives {recognizer.config.content}",
            "Take the preset that this recognizer has, or another by --weights",
        )
    return ConverterTask(model, recognizer, teacher("speaker-encoder"), there, settings, stream)


def align(data: Sequence[Path], *, teachers: Path | None = None, progress: Any = None) -> dict[str, int]:
    """Forced alignments for every feature folder; returns how many recordings of each were aligned."""
    from voiceswap.training.alignment import align_store

    folder = teachers or WEIGHTS
    recognizer = checkpoint.load(folder / "phone-recognizer.safetensors", "phone-recognizer")
    counts = {}
    for path in [p for parent in data for p in stores(Path(parent))]:
        align_store(recognizer, FeatureStore(path), progress=progress)
        counts[str(path)] = sum(1 for item in FeatureStore(path).items if item.durations)
    return counts
