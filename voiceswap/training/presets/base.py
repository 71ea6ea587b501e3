"""What ships: each model trains on two CPU cores within hours.

Shares of the corpora are those of the shipped weights; a corpus that is not named has a share of 1.
"""

from __future__ import annotations

from voiceswap.models import converter, detector, phone_recognizer, speaker_encoder, synthesizer, vocoder
from voiceswap.training.optimization import TrainingConfig
from voiceswap.training.presets import Preset
from voiceswap.training.tasks.converter import ConverterTraining
from voiceswap.training.tasks.detector import DetectorTraining
from voiceswap.training.tasks.phone_recognizer import PhoneRecognizerTraining
from voiceswap.training.tasks.speaker_encoder import SpeakerEncoderTraining
from voiceswap.training.tasks.synthesizer import SynthesizerTraining
from voiceswap.training.tasks.vocoder import VocoderTraining

_VOCODER = (
    *(("kathleen", 2.0), ("ljspeech", 2.0), ("nathalie", 1.0), ("kerstin", 0.7), ("librispeech-dev", 2.0)),
    *(
        ("librispeech-100", 1.5),
        ("common-voice", 1.0),
        ("speechocean762", 0.5),
        ("heart", 1.0),
        ("kokoro", 1.5),
    ),
    *(("self", 0.0), ("warped", 0.0), ("*", 1.0)),
)
_ALIGNED = (
    *(("heart", 0.4), ("self", 1.2), ("kathleen", 0.5), ("ljspeech", 0.6), ("librispeech-dev", 2.0)),
    *(("librispeech-100", 1.8), ("common-voice", 1.5), ("speechocean762", 0.5), ("*", 1.0)),
)
_SPOKEN = (
    *(("kathleen", 0.8), ("ljspeech", 1.0), ("librispeech-dev", 3.0), ("librispeech-100", 2.0)),
    *(("common-voice", 1.5), ("speechocean762", 0.4), ("*", 1.0)),
)
_READ = (
    *(("heart", 0.3), ("kokoro", 0.8), ("kathleen", 0.3), ("ljspeech", 0.3), ("librispeech-dev", 1.3)),
    *(
        ("librispeech-100", 1.5),
        ("common-voice", 1.2),
        ("speechocean762", 0.3),
        ("self", 0.0),
        ("warped", 0.0),
        ("*", 1.0),
    ),
)
_CONVERTED = (
    *(("heart", 0.6), ("kathleen", 0.8), ("ljspeech", 0.8), ("nathalie", 0.3), ("kerstin", 0.2)),
    *(("librispeech-dev", 2.0), ("librispeech-100", 1.8), ("common-voice", 1.5), ("speechocean762", 0.4)),
    *(("self", 0.0), ("warped", 0.0), ("*", 1.0)),
)

PRESETS = {
    "vocoder": Preset(
        vocoder.SIZES["base"],
        VocoderTraining(weights=_VOCODER, adversarial_from=26_000),
        TrainingConfig(steps=32_000, learning_rate=1e-3, ema=0.998),
    ),
    "phone-recognizer": Preset(
        phone_recognizer.SIZES["base"],
        # What shipped was also taught (taught=2), which takes benchmarks/recognizer_teacher.py beforehand.
        PhoneRecognizerTraining(
            aligned=9, spoken=6, ctc=0.5, aligned_weights=_ALIGNED, spoken_weights=_SPOKEN
        ),
        TrainingConfig(steps=10_000, learning_rate=5e-4, ema=0.998, weight_decay=0.02),
    ),
    "speaker-encoder": Preset(
        speaker_encoder.SIZES["base"],
        SpeakerEncoderTraining(),
        TrainingConfig(steps=5_000, learning_rate=1.5e-3, ema=0.997, weight_decay=0.05),
    ),
    "synthesizer": Preset(
        synthesizer.SIZES["base"],
        SynthesizerTraining(weights=_READ, adversarial_from=5_200, adversarial=0.25, features=0.6),
        TrainingConfig(steps=15_000, learning_rate=1.2e-3, ema=0.998),
    ),
    "converter": Preset(
        converter.SIZES["base"],
        ConverterTraining(
            weights=_CONVERTED,
            swapped=0.35,
            astray=0.15,
            understood=1.0,
            remembered=400,
            hidden=0.3,
            adversarial_from=2_700,
            adversarial=0.15,
            features=0.4,
        ),
        TrainingConfig(steps=10_000, learning_rate=1.2e-3, ema=0.998),
    ),
    "detector": Preset(
        detector.SIZES["base"],
        DetectorTraining(),
        TrainingConfig(steps=4_000, learning_rate=1e-3, ema=0.997, weight_decay=0.05),
    ),
}
