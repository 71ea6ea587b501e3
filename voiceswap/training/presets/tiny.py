"""For tests: seconds on one core, and nothing worth hearing."""

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

_LOOP = TrainingConfig(steps=20, warmup=5, log_every=5)

PRESETS = {
    "vocoder": Preset(vocoder.SIZES["tiny"], VocoderTraining(batch_size=2, frames=24), _LOOP),
    "phone-recognizer": Preset(
        phone_recognizer.SIZES["tiny"], PhoneRecognizerTraining(aligned=2, frames=48, spoken=2), _LOOP
    ),
    "speaker-encoder": Preset(
        speaker_encoder.SIZES["tiny"], SpeakerEncoderTraining(batch_size=4, frames=48), _LOOP
    ),
    "synthesizer": Preset(synthesizer.SIZES["tiny"], SynthesizerTraining(batch_size=2), _LOOP),
    "converter": Preset(converter.SIZES["tiny"], ConverterTraining(batch_size=4, frames=48), _LOOP),
    "detector": Preset(detector.SIZES["tiny"], DetectorTraining(batch_size=4, seconds=1.0), _LOOP),
}
