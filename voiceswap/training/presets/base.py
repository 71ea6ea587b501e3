"""What ships: each model trains on two CPU cores within hours."""

from __future__ import annotations

from voiceswap.models import converter, phone_recognizer, speaker_encoder, synthesizer, vocoder
from voiceswap.training.loop import TrainingConfig
from voiceswap.training.presets import Preset
from voiceswap.training.tasks.converter import ConverterTraining
from voiceswap.training.tasks.phone_recognizer import PhoneRecognizerTraining
from voiceswap.training.tasks.speaker_encoder import SpeakerEncoderTraining
from voiceswap.training.tasks.synthesizer import SynthesizerTraining
from voiceswap.training.tasks.vocoder import VocoderTraining

PRESETS = {
    "vocoder": Preset(
        vocoder.SIZES["base"], VocoderTraining(), TrainingConfig(steps=30_000, learning_rate=1e-3, ema=0.998)
    ),
    "phone-recognizer": Preset(
        phone_recognizer.SIZES["base"],
        PhoneRecognizerTraining(),
        TrainingConfig(steps=10_000, learning_rate=1.2e-3, ema=0.998),
    ),
    "speaker-encoder": Preset(
        speaker_encoder.SIZES["base"],
        SpeakerEncoderTraining(),
        TrainingConfig(steps=5_000, learning_rate=1.5e-3, ema=0.997, weight_decay=0.05),
    ),
    "synthesizer": Preset(
        synthesizer.SIZES["base"],
        SynthesizerTraining(),
        TrainingConfig(steps=15_000, learning_rate=1.2e-3, ema=0.998),
    ),
    "converter": Preset(
        converter.SIZES["base"],
        ConverterTraining(),
        TrainingConfig(steps=10_000, learning_rate=1.2e-3, ema=0.998),
    ),
}
