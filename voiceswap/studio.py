"""Studio: the only class that knows the order of things."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from voiceswap import audio
from voiceswap.acoustics import ACOUSTICS, Acoustics, f0_track, log_mel
from voiceswap.bundle import WEIGHTS, Models
from voiceswap.checks import check_conversion, check_reading
from voiceswap.conversion import Source
from voiceswap.enrollment import measure
from voiceswap.errors import AudioError, ConsentError, OptionError
from voiceswap.files import digest
from voiceswap.live import Live
from voiceswap.memory import keep_freed
from voiceswap.provenance import Consent, Provenance
from voiceswap.provenance.revocation import check_not_revoked
from voiceswap.provenance.watermark import mark, payload_of
from voiceswap.reading import edged, imitated, read_aloud
from voiceswap.rendering import render
from voiceswap.speech import Speech
from voiceswap.statement import verify
from voiceswap.swapping import away, swapped
from voiceswap.voice import Voice, fingerprint


def load(device: str = "auto", *, weights: str | Path | None = None) -> Studio:
    """A Studio with the bundled weights, or with those in the folder `weights`; nothing is downloaded.

    `device` is "auto" (CUDA if there is such a GPU, else the CPU), "cpu", "cuda" or "mps". Raises OptionError
    for a device that is not there, CheckpointError if the speaker encoder is missing or damaged; the other
    models are read, and refused, when they are first needed. From then on malloc keeps some of the memory
    that this process frees (`memory.keep_freed`).
    """
    keep_freed()
    return Studio(_device(device), Path(weights) if weights is not None else WEIGHTS)


def _device(name: str) -> torch.device:
    there = ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    there = there if torch.cuda.is_available() else []
    if name == "auto":  # MPS only when asked for: nothing has been measured on it
        return torch.device(there[0] if there else "cpu")
    there += ["mps"] if torch.backends.mps.is_available() else []
    there += ["cpu"]
    if name not in there:
        raise OptionError(
            f"device={name!r}", "it is not on this machine", f"Choose one of auto, {', '.join(there)}"
        )
    return torch.device(name)


class Studio:
    """Speaks, converts and enrolls with one set of weights on one device."""

    def __init__(self, device: torch.device, weights: Path) -> None:
        self.device = device
        self.weights = weights
        self._models = Models(weights, device)

    def __repr__(self) -> str:
        return f"Studio(device={str(self.device)!r}, voices={list(self.voices)})"

    @property
    def weights_hash(self) -> str:
        """Hash of all the weights together, as in manifests; CheckpointError if some are missing."""
        return self._models.digest

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages of text that the synthesizer has learnt: of ``en``, ``de`` and ``nl``."""
        return self._models.languages

    @property
    def voices(self) -> Mapping[str, Voice]:
        """The built-in voices by name; they belong to nobody."""
        return self._models.voices

    def enroll(
        self,
        recordings: str | Path | audio.Source | Sequence[str | Path | audio.Source],
        *,
        consent: Consent,
        statement: str | Path | audio.Source | None = None,
    ) -> Voice:
        """The voice of the person who is heard in `recordings`: one, or several that are averaged.

        About 10 s of clean speech are enough. `statement` is a recording in which the person reads
        `consent.statement` aloud: that it says so, in this voice, is checked, and noted in the consent.
        Raises EnrollmentError for references that are silent, clipped, too short or of two people, AudioError
        for files that cannot be read, ConsentError for a consent that has ended or was revoked, and for a
        statement of other words or by another person.
        """
        if not isinstance(consent, Consent):
            raise ConsentError(
                f"consent={consent!r:.80}", "nobody is enrolled without one", "Give voiceswap.Consent(...)"
            )
        consent.check(consent.scope[0])  # still in force?
        check_not_revoked(consent)
        given: Any = recordings  # a tuple holds samples and their rate, or recordings
        alone = isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], Integral)
        sources = [given] if alone or isinstance(given, (str, os.PathLike)) else list(given)
        models = self._models
        traits = measure(
            sources, encoder=models.encoder, recognizer=models.recognizer, converter=models.converter
        )
        if statement is not None:
            consent = verify(
                statement, consent, traits["vector"], encoder=models.encoder, recognizer=models.recognizer
            )
        return Voice(name=consent.name, consent=consent, space=self._models.space, **traits)

    def speak(
        self,
        text: str,
        voice: Voice,
        *,
        speed: float = 1.0,
        pitch: float = 0.0,
        seed: int = 0,
        like: str | Path | audio.Source | None = None,
        language: str = "en",
    ) -> Speech:
        """`text` of any length in `voice`: numbers, dates and the like are read as a person would.

        `speed` 0.5 to 2 multiplies the tempo, `pitch` -24 to 24 moves the voice by semitones; the same `seed`
        gives the same samples. `like` is a recording of the same text, of at most two minutes, whose timing
        and melody are taken, the melody moved into the voice's range; `speed` is then the recording's.
        `language` is one of `languages`; the voice may belong to a speaker of any other. Raises TextError,
        PhonemeError, OptionError, ConsentError, VoiceFileError, and AudioError for a recording that does not
        say the text.
        """
        return _join(list(self._read(text, voice, speed, pitch, seed, like, language, hurried=False)))

    def stream(
        self,
        text: str,
        voice: Voice,
        *,
        speed: float = 1.0,
        pitch: float = 0.0,
        seed: int = 0,
        like: str | Path | audio.Source | None = None,
        language: str = "en",
    ) -> Iterator[Speech]:
        """As `speak`, in pieces of a few seconds as they are made, the first one of a second.

        Joined, they are what `speak` gives, but for rounding.
        """
        return self._read(text, voice, speed, pitch, seed, like, language, hurried=True)

    def _read(
        self,
        text: str,
        voice: Voice,
        speed: float,
        pitch: float,
        seed: int,
        like: str | Path | audio.Source | None,
        language: str,
        *,
        hurried: bool,
    ) -> Iterator[Speech]:
        """`text` in pieces; `hurried` as `read_aloud` takes it."""
        from voiceswap.text import sentences

        check_reading(voice, self._models, speed, pitch, seed, like is not None, language)
        said = edged(sentences(text, language))
        if like is not None:
            said = imitated(said, like, voice, float(pitch), self._models)
        made = read_aloud(said, voice, self._models, float(speed), float(pitch), int(seed), language, hurried)
        source = text.encode(errors="surrogatepass")  # of bytes on the command line, and of JSON
        return self._speech(made, "speak", voice, sha256(source).hexdigest())

    def convert(self, recording: str | Path | audio.Source, voice: Voice, *, pitch: float = 0.0) -> Speech:
        """`recording` said by `voice`: words, timing and melody stay, the melody moved into its range.

        Any format. `pitch` moves the result by semitones. The whole result is in memory; `convert_stream` is
        not bound by that. Raises AudioError, OptionError, ConsentError, VoiceFileError.
        """
        return _join(list(self.convert_stream(recording, voice, pitch=pitch)))

    def convert_stream(
        self, recording: str | Path | audio.Source, voice: Voice, *, pitch: float = 0.0
    ) -> Iterator[Speech]:
        """As `convert`, in pieces of some seconds as they are made, in bounded memory for any length."""
        check_conversion(voice, self._models, pitch)
        source = Source.measure(recording)
        made = swapped(source, voice, self._models, float(pitch))
        return self._speech(made, "convert", voice, digest(recording))

    def stream_convert(
        self,
        blocks: Iterable[ArrayLike],
        voice: Voice,
        *,
        sample_rate: int = ACOUSTICS.sample_rate,
        source: str | Path | audio.Source | None = None,
        pitch: float = 0.0,
    ) -> Iterator[Speech]:
        """What a microphone gives, `blocks` [N] of any length at `sample_rate` Hz, said by `voice` meanwhile.

        Pieces of 64 ms, together as long as the blocks; the last ones come when the blocks end. A piece goes
        out `live.DELAY` (0.19 s) after its first sample came, and computing takes some 0.03 s; at other rates
        than 24 kHz `audio.stream` holds back 0.02 to 0.04 s more. Level, range and speaker of the source are
        measured on the way, or beforehand on a recording, `source`. Errors as `convert`: AudioError for a
        block that is not [N], finite and in -1…1 (or signed integers) when it comes, the others at once.
        """
        models = self._models
        check_conversion(voice, models, pitch)
        live = Live(
            models.recognizer,
            models.converter,
            models.vocoder,
            voice,
            speaker=lambda heard: away(heard, voice, models),
            timbre=models.timbre(voice, converted=True),
            pitch=float(pitch),
            source=None if source is None else Source.measure(source),
        )
        given = audio.stream(blocks, sample_rate)
        return self._speech(live.convert(given), "convert", voice, "")

    def resynthesize(self, recording: str | Path | audio.Source) -> Speech:
        """`recording` taken apart to mel and F0 and put together again: what the vocoder alone does."""
        samples = audio.level(audio.read(recording))
        mel = log_mel(torch.from_numpy(samples)[None])[0]
        acoustics = Acoustics(mel, torch.from_numpy(f0_track(samples)))
        made = np.concatenate(list(render(self._models.vocoder, acoustics, seed=0)))[: len(samples)]
        return _join(list(self._speech([made], "resynthesize", None, digest(recording))))

    def _speech(
        self,
        pieces: Iterable[NDArray[np.float32] | tuple[NDArray[np.float32], NDArray[np.float32]]],
        verb: str,
        voice: Voice | None,
        source: str,
    ) -> Iterator[Speech]:
        """The one way out: all that is made passes here, and is marked. A piece may say what follows it."""
        made_by = Provenance(
            verb=verb,
            voice="" if voice is None else voice.name,
            consent=None if voice is None or voice.consent is None else voice.consent.digest(),
            source=source,
            weights=self._models.digest,
            mark=payload_of(self._models.digest, "" if voice is None else fingerprint(voice.vector)),
        )
        given = ((*piece,) if isinstance(piece, tuple) else (piece, None) for piece in pieces)
        for samples in mark(map(_finite, given), made_by.mark):
            yield Speech(samples, ACOUSTICS.sample_rate, made_by)


def _finite(piece: tuple[NDArray[np.float32], Any]) -> tuple[NDArray[np.float32], Any]:
    if not np.isfinite(piece[0]).all():
        raise AudioError("the model's output", "it is not finite", "Check the weights and the voice")
    return piece


def _join(pieces: Sequence[Speech]) -> Speech:
    if not pieces:
        raise AudioError("the recording", "nothing came of it", "Give a longer one")
    return Speech(np.concatenate([p.samples for p in pieces]), pieces[0].sample_rate, pieces[0].provenance)
