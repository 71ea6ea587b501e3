"""For a GPU: wider and deeper models, larger batches."""

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

PRESETS = {
    "vocoder": Preset(
        vocoder.SIZES["large"],
        VocoderTraining(batch_size=32, frames=128, adversarial_from=60_000),
        TrainingConfig(steps=400_000, learning_rate=5e-4, ema=0.9995),
    ),
    "phone-recognizer": Preset(
        phone_recognizer.SIZES["large"],
        PhoneRecognizerTraining(aligned=32, spoken=24),
        TrainingConfig(steps=100_000, learning_rate=6e-4, ema=0.9995),
    ),
    "speaker-encoder": Preset(
        speaker_encoder.SIZES["large"],
        SpeakerEncoderTraining(batch_size=192),
        TrainingConfig(steps=50_000, learning_rate=6e-4, ema=0.9995, weight_decay=0.05),
    ),
    "synthesizer": Preset(
        synthesizer.SIZES["large"],
        SynthesizerTraining(batch_size=32, adversarial_from=40_000),
        TrainingConfig(steps=150_000, learning_rate=6e-4, ema=0.9995),
    ),
    "converter": Preset(
        converter.SIZES["large"],
        ConverterTraining(batch_size=64, adversarial_from=40_000),
        TrainingConfig(steps=100_000, learning_rate=6e-4, ema=0.9995),
    ),
    "detector": Preset(
        detector.SIZES["large"],
        DetectorTraining(batch_size=64),
        TrainingConfig(steps=20_000, learning_rate=1e-3, weight_decay=0.05),
    ),
}
