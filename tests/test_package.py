"""The package as a whole: its order of imports, its public names, and how little an import does."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

import voiceswap
from voiceswap import errors

ROOT = Path(__file__).parents[1]


def run_python(code: str) -> str:
    """The standard output of `code` in a fresh interpreter, which must write nothing to standard error."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_imports_point_downwards():
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_public_names():
    assert voiceswap.__all__ == [
        "AudioError",
        "CheckpointError",
        "Consent",
        "ConsentError",
        "DataError",
        "EnrollmentError",
        "FileError",
        "InputError",
        "MissingExtraError",
        "OptionError",
        "OutputError",
        "PhonemeError",
        "Speech",
        "Studio",
        "TextError",
        "TrainingError",
        "Verification",
        "Voice",
        "VoiceFileError",
        "VoiceswapError",
        "WatermarkError",
        "__version__",
        "load",
        "verify",
    ]


@pytest.mark.parametrize("name", voiceswap.__all__)
def test_public_name_resolves(name):
    assert getattr(voiceswap, name) is not None
    assert name in dir(voiceswap)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'shout'"):
        _ = voiceswap.shout


def test_import_loads_nothing_heavy():
    heavy = {"accelerate", "cryptography", "lhotse", "librosa", "matplotlib", "num2words", "numpy"}
    heavy |= {"phonemizer", "rich", "scipy", "soundfile", "tensorboard", "torch", "torchaudio", "typer"}
    out = run_python("import json, sys, voiceswap; print(json.dumps([*sys.modules]))")
    assert heavy.isdisjoint(json.loads(out))


def test_the_studio_needs_nothing_that_trains_or_parses_options():
    out = run_python("import json, sys, voiceswap; voiceswap.load; print(json.dumps([*sys.modules]))")
    loaded = set(json.loads(out))
    assert loaded.isdisjoint({"accelerate", "lhotse", "matplotlib", "tensorboard", "typer"})
    assert not [name for name in loaded if name.startswith(("voiceswap.data", "voiceswap.training"))]


def test_import_changes_no_setting_of_the_process():
    code = """
import logging, os, random, torch
def settings():
    return (torch.get_num_threads(), torch.get_num_interop_threads(), torch.get_default_dtype(),
            torch.is_grad_enabled(), torch.initial_seed(), torch.backends.cudnn.benchmark, random.getstate(),
            logging.root.level, len(logging.root.handlers), sorted(os.environ.items()))
before = settings()
import voiceswap
voiceswap.load, voiceswap.Voice, voiceswap.Speech, voiceswap.Consent
print([now for then, now in zip(before, settings()) if then != now])
"""
    assert run_python(code).strip() == "[]"


def test_type_hints_are_published():
    assert (files("voiceswap") / "py.typed").is_file()


def test_every_error_is_public_and_of_one_tree():
    tree = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert tree <= set(voiceswap.__all__)
    assert all(issubclass(getattr(errors, name), errors.VoiceswapError) for name in tree)


def test_an_error_says_what_came_what_is_allowed_and_what_to_do():
    error = errors.OptionError("speed 9", "allowed are 0.5 to 2", "Choose a speed between them")
    assert str(error) == "speed 9: allowed are 0.5 to 2. Choose a speed between them."
    assert isinstance(error, ValueError)


def test_an_error_survives_the_way_between_processes():
    error = errors.AudioError("a.wav", "holds no samples", "Record again")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is errors.AudioError
    assert (again.got, again.rule, again.remedy) == (error.got, error.rule, error.remedy)


def test_the_bundle_is_small_and_every_model_has_its_card(bundled_weights):
    weights = sorted(bundled_weights.glob("*.safetensors"))
    assert len(weights) == 6
    assert sum(path.stat().st_size for path in weights) <= 60e6
    for path in weights:
        assert "license" in path.with_suffix(".md").read_text(encoding="utf-8").lower(), path.name


def test_built_in_voices_are_six_or_more_of_both_registers(studio):
    voices = [*studio.voices.values()]
    assert len(voices) >= 6
    assert min(voice.f0_median for voice in voices) < 130
    assert max(voice.f0_median for voice in voices) > 190


def test_nothing_but_speech_writes_audio():
    """Whoever adds a writer comes by here: what people are given is a Speech, marked and signed."""
    writes = re.compile(
        r"soundfile\.write|SoundFile\([^)]*[\"'](?:w|x|r\+|w\+|x\+)[\"']|soundfile (?:as|import)|import wave"
        r"|wavfile|torchaudio\.save|add_audio|sounddevice"
    )
    package = Path(voiceswap.__file__).parent
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if writes.search(path.read_text(encoding="utf-8"))
    }
    assert found == {
        "speech.py",
        "evaluation/sounds.py",  # what files hold, made shorter for a page to show
        "data/shards.py",  # recordings, for training
        "training/raw.py",  # the same, cut into pieces where that is asked for
        "training/folder.py",  # samples of a model that learns, for TensorBoard
        "training/tasks/detector.py",  # in memory, to hear what a codec does
    }
