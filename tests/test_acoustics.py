"""Log-mels against librosa's own, and F0 against signals whose F0 is known."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

from voiceswap import audio
from voiceswap.acoustics import (
    ACOUSTICS,
    f0_track,
    inverse_stft,
    log_mel,
    magnitude,
    mel_filters,
    mel_of_magnitude,
    pitch_statistics,
    stft,
)

RATE = ACOUSTICS.sample_rate


def harmonic(f0, seconds=1.0, *, amplitudes=None, seed=0, noise=1e-3):
    """The harmonics of `f0` (Hz, or [N]) below 7 kHz, of these amplitudes, or 1/k, and some noise."""
    hz = np.broadcast_to(np.asarray(f0, np.float64), round(seconds * RATE))
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    count = int(7000 / hz.max())
    levels = 1 / np.arange(1, count + 1) if amplitudes is None else amplitudes[:count]
    rng = np.random.default_rng(seed)
    wave = sum(a * np.sin(k * phase + rng.uniform(0, 6)) for k, a in enumerate(levels, 1) if a)
    return (0.2 * wave / np.abs(wave).max() + rng.normal(0, noise, len(hz))).astype(np.float32)


def inner(track):
    """The frames of a track without its first and last 50 ms."""
    return track[5:-5]


def test_filter_bank_is_librosas():
    theirs = librosa.filters.mel(sr=RATE, n_fft=1024, n_mels=80, fmin=0.0, fmax=8000.0)
    assert np.allclose(mel_filters().numpy(), theirs, atol=1e-6)


def test_log_mel_is_librosas(kathleen):
    wave = audio.read(kathleen[0])
    theirs = librosa.feature.melspectrogram(
        y=wave,
        sr=RATE,
        n_fft=1024,
        hop_length=256,
        n_mels=80,
        fmin=0,
        fmax=8000,
        power=1.0,
        pad_mode="constant",
    )
    mine = log_mel(torch.from_numpy(wave)[None])[0].numpy()
    assert mine.shape == (80, len(wave) // 256 + 1)
    assert np.allclose(mine, np.log(np.maximum(theirs, 1e-5)), atol=2e-3)


def test_mel_of_silence_is_the_floor():
    assert torch.allclose(log_mel(torch.zeros(2, 2560)), torch.full((2, 80, 11), float(np.log(1e-5))))


def test_mel_of_a_magnitude_is_that_of_its_wave():
    wave = torch.randn(2, 5000) * 0.1
    torch.testing.assert_close(mel_of_magnitude(stft(wave).abs()), log_mel(wave), rtol=0, atol=1e-4)


@pytest.mark.parametrize("frames", [1, 2, 5, 40])
def test_inverse_transform_is_torchs_and_gives_the_waveform_back(frames):
    length = frames * ACOUSTICS.hop
    wave = torch.randn(2, length, generator=torch.Generator().manual_seed(0))
    spectrum = stft(wave)
    window = torch.hann_window(ACOUSTICS.n_fft)
    theirs = torch.istft(spectrum, ACOUSTICS.n_fft, ACOUSTICS.hop, window=window, length=length)
    assert torch.allclose(inverse_stft(spectrum, length), theirs, atol=1e-5)
    assert torch.allclose(inverse_stft(spectrum, length), wave, atol=1e-5)


def test_magnitude_is_abs_and_can_be_learnt_through_where_nothing_is():
    spectrum = torch.complex(torch.tensor([3.0, 0.0]), torch.tensor([-4.0, 0.0])).requires_grad_()
    made = magnitude(spectrum)
    assert torch.allclose(made, torch.tensor([5.0, 0.0]), atol=1e-5)
    made.sum().backward()
    assert torch.isfinite(torch.view_as_real(spectrum.grad)).all()


def test_rows_of_a_batch_do_not_touch():
    wave = torch.randn(3, 4000) * 0.1
    assert torch.allclose(log_mel(wave)[1], log_mel(wave[1:2])[0], atol=1e-5)


@pytest.mark.parametrize("hertz", [60, 75, 98, 131, 176, 220, 294, 370, 450])
def test_steady_tone(hertz):
    track = inner(f0_track(harmonic(hertz)))
    assert (track > 0).mean() > 0.97
    assert abs(np.median(track[track > 0]) / hertz - 1) < 0.01


def test_gliding_tone():
    hz = 120 * 2 ** (np.linspace(0, 1.5, 2 * RATE))
    track = inner(f0_track(harmonic(hz, 2.0)))
    truth = inner(hz[np.minimum(np.arange(2 * RATE // 256 + 1) * 256, len(hz) - 1)])
    assert (track > 0).mean() > 0.97
    assert np.median(np.abs(track / truth - 1)[track > 0]) < 0.01


@pytest.mark.parametrize(
    "amplitudes",
    [
        [0.05, 1, 0.3, 0.5, 0.2, 0.1],  # the second harmonic far above the first
        [0, 1, 0.8, 0.9, 0.4, 0.3, 0.2],  # no fundamental at all
        [1, 0.02, 0.3, 0.02, 0.1],  # almost odd harmonics alone
        [1, 0.1, 0.02, 0.01],  # almost a sine
    ],
)
@pytest.mark.parametrize("hertz", [95, 140, 210])
def test_octave_is_right(hertz, amplitudes):
    track = inner(f0_track(harmonic(hertz, amplitudes=amplitudes)))
    octaves = np.abs(np.log2(track[track > 0] / hertz))
    assert (track > 0).mean() > 0.95
    assert (octaves > 0.2).mean() < 0.02


def test_noise_is_unvoiced():
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    assert (f0_track(noise) > 0).mean() < 0.05


def test_silence_is_unvoiced():
    assert not f0_track(np.zeros(RATE, np.float32)).any()


def test_pause_between_tones_is_unvoiced():
    tone = harmonic(150, 0.5, noise=1e-4)
    hiss = np.random.default_rng(1).normal(0, 1e-4, RATE // 2).astype(np.float32)
    track = f0_track(np.concatenate([tone, hiss, tone]))
    voiced = track > 0
    assert voiced[8:40].mean() > 0.95
    assert voiced[54:87].mean() < 0.1
    assert voiced[102:132].mean() > 0.95


@pytest.mark.parametrize("scale", [0.1, 5.0])
def test_level_does_not_matter(kathleen, scale):
    wave = audio.read(kathleen[0])
    here, there = f0_track(wave), f0_track(wave * scale)
    assert ((here > 0) == (there > 0)).mean() > 0.97
    both = (here > 0) & (there > 0)
    assert np.median(np.abs(here / np.maximum(there, 1) - 1)[both]) < 0.001


@pytest.mark.parametrize("count", [0, 1, 255, 256, 1000])
def test_short_audio_has_its_frames(count):
    wave = np.full(count, 0.1, np.float32)
    track = f0_track(wave)
    assert (track.shape, track.dtype) == ((count // 256 + 1,), np.float32)
    assert np.isfinite(track).all()


def test_range_of_a_real_voice(kathleen):
    for path in kathleen:
        track = f0_track(audio.read(path))
        voiced = track[track > 0]
        assert 0.3 < (track > 0).mean() < 0.9
        assert 120 < np.median(voiced) < 260
        assert (np.abs(np.log2(voiced / np.median(voiced))) > 0.8).mean() < 0.1  # a frame in doubt is voiced


def test_pitch_statistics():
    rng = np.random.default_rng(0)
    log_f0 = np.concatenate([rng.normal(np.log(180), 0.2, 5000), np.full(200, np.log(90 / 1.3))])
    median, spread = pitch_statistics(log_f0)
    assert median == pytest.approx(180, rel=0.02)
    assert spread == pytest.approx(0.2, rel=0.05)  # octave errors do not count
    creaky = np.concatenate([rng.normal(np.log(60), 0.05, 550), rng.normal(np.log(120), 0.1, 450)])
    assert pitch_statistics(creaky)[0] == pytest.approx(120, rel=0.03)  # and not the octave below it
    assert pitch_statistics(np.zeros(3)) == (150.0, 0.2)
    assert 0 < pitch_statistics(np.full(50, 5.0))[1] < 0.1
