"""Blocks, models, and rendering in blocks: shapes, masks, and closed forms."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from voiceswap import checkpoint
from voiceswap.acoustics import ACOUSTICS, Acoustics, log_mel
from voiceswap.bundle import WEIGHTS, Models
from voiceswap.errors import CheckpointError
from voiceswap.models import converter, detector, phone_recognizer, speaker_encoder, synthesizer, vocoder
from voiceswap.models.converter import Converter, moves_of
from voiceswap.models.dynamics import loudness_of, outline_of
from voiceswap.models.phone_recognizer import CLASSES, PhoneRecognizer, to_class
from voiceswap.models.postfilter import OF_BUILTIN, OF_PEOPLE, Sharpness, keep_energy, lighten, sharpen
from voiceswap.models.speaker_encoder import SpeakerEncoder
from voiceswap.models.synthesizer import Synthesizer
from voiceswap.models.vocoder import Vocoder, bridge, pulses
from voiceswap.nn.blocks import ConvNeXt, ConvNeXtBlock, lengths_to_mask
from voiceswap.nn.decoder import Decoder, SpeakerCondition, pitch_features, recording_quality
from voiceswap.nn.discriminators import (
    MelDiscriminator,
    WaveDiscriminator,
    match_features,
    please,
    real_or_fake,
)
from voiceswap.nn.precision import halved
from voiceswap.nn.transformer import Transformer, rotate
from voiceswap.rendering import render
from voiceswap.text.phonemes import BOUNDARY, FIRST_PHONE, INVENTORY, SILENCE, parse

SIZES = {
    "vocoder": vocoder.SIZES,
    "phone-recognizer": phone_recognizer.SIZES,
    "speaker-encoder": speaker_encoder.SIZES,
    "synthesizer": synthesizer.SIZES,
    "converter": converter.SIZES,
    "detector": detector.SIZES,
}
MILLIONS = {
    **{"vocoder": 4, "phone-recognizer": 8, "speaker-encoder": 2, "synthesizer": 8, "converter": 6},
    "detector": 0.5,
}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def tiny(kind):
    model = checkpoint.MODELS[kind][0](SIZES[kind]["tiny"]).eval()
    for parameter in model.parameters():  # away from initial values that are 0
        parameter.data += 0.02 * torch.randn_like(parameter)
    return model


def close(a, b, atol=1e-4):
    return torch.allclose(a, b, atol=atol)


def test_mask_of_lengths():
    mask = lengths_to_mask(torch.tensor([2, 0, 3]), 3)
    assert mask.squeeze(-1).tolist() == [[1, 1, 0], [0, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize("dilation", [1, 2])
def test_block_is_its_formula(dilation):
    block = ConvNeXtBlock(6, kernel=5, dilation=dilation, condition=4)
    x, condition = torch.randn(2, 9, 6), torch.randn(2, 4)
    kernel = block.depthwise.weight[:, 0, 0]
    padded = torch.nn.functional.pad(x, (0, 0, 2 * dilation, 2 * dilation))
    convolved = torch.stack(
        [sum(padded[:, t + k * dilation] * kernel[:, k] for k in range(5)) for t in range(9)], 1
    )
    y = block.norm(convolved + block.depthwise.bias)
    gain, shift = block.film(condition)[:, None].chunk(2, -1)
    y = block.narrow(torch.nn.functional.silu(block.widen(y * (1 + gain) + shift)))
    assert close(block(x, None, condition), x + block.scale * y, 1e-5)


def test_padding_does_not_change_a_stack():
    stack = ConvNeXt(5, 7, channels=8, blocks=3, condition=4, dilations=(1, 2)).eval()
    x, condition = torch.randn(1, 20, 5), torch.randn(1, 4)
    alone = stack(x, torch.ones(1, 20, 1), condition)
    padded = torch.cat([x, torch.full((1, 11, 5), 9.0)], 1)
    both = stack(
        torch.cat([padded, torch.randn(1, 31, 5)]),
        lengths_to_mask(torch.tensor([20, 31]), 31),
        condition.expand(2, -1),
    )
    assert close(both[:1, :20], alone)
    assert not close(stack(padded, None, condition)[:, :20], alone)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("frames", [1, 31, 32, 33])
def test_blocks_compute_round_lengths_and_change_nothing(masked, frames):
    stack = ConvNeXt(5, 7, channels=8, blocks=3, condition=4, dilations=(1, 2)).eval()
    for block in stack.blocks:  # what is past the end does not stay silent by itself
        torch.nn.init.normal_(block.narrow.bias)
    stack.bfloat16().float()  # what halving rounds is round before
    x, condition = torch.randn(2, frames, 5), torch.randn(2, 4)
    mask = lengths_to_mask(torch.tensor([frames, max(1, frames - 4)]), frames) if masked else None
    seen = []
    for block in stack.blocks:
        block.widen.register_forward_hook(lambda _, given, __: seen.append(given[0].shape[1]))
    plain = stack(x, mask, condition)
    assert close(halved(stack).float()(x, mask, condition), plain)
    assert seen == [frames] * 3 + [-(-frames // 32) * 32] * 3


def test_decoder_hears_pitch_speaker_and_quality():
    decoder = Decoder(6, channels=16, blocks=1, expansion=2, condition=8)
    condition = SpeakerCondition(12, 8)
    hidden, f0 = torch.randn(2, 10, 6), torch.full((2, 10), 150.0)
    speaker, quality = torch.nn.functional.normalize(torch.randn(2, 12)), torch.zeros(2)
    made = decoder(hidden, f0, condition(speaker, quality))
    assert made.shape == (2, 80, 10)
    assert not close(made, decoder(hidden, f0 * 2, condition(speaker, quality)))
    assert not close(made, decoder(hidden, f0, condition(speaker.flip(0), quality)))
    assert not close(made, decoder(hidden, f0, condition(speaker, quality + 1)))


def test_pitch_features():
    features = pitch_features(torch.tensor([[0.0, 150.0, 300.0]]))
    assert features[0].tolist() == [[0, 0], [0, 1], [1, 1]]


def test_recording_quality_is_the_gap_of_the_pauses():
    mel = torch.full((2, 80, 100), -2.0)
    mel[0, :, :30], mel[1, :, :30] = -5.0, -9.5
    noisy, clean = recording_quality(mel).tolist()
    assert noisy == pytest.approx(-0.75, abs=0.01)
    assert clean == 1.5


def test_discriminators_and_their_losses():
    wave = torch.randn(2, 6000) * 0.1
    judged = WaveDiscriminator(channels=4)(wave)
    assert len(judged[0]) == 3
    torch.manual_seed(0)
    critic = WaveDiscriminator(channels=4)
    logits, inner = critic(wave, 1)
    assert torch.equal(logits[0], critic(wave)[0][1])
    assert len(inner) == len(critic(wave)[1]) / 3
    assert match_features(judged, judged) == 0
    logits, inner = MelDiscriminator(12, channels=4)(torch.randn(2, 80, 30), torch.randn(2, 12))
    assert [logit.shape[0] for logit in logits] == [2, 2]
    assert len(inner) == 4
    real, fake = ([torch.ones(2)], []), ([torch.zeros(2)], [])
    assert (real_or_fake(real, fake), please(fake), please(real)) == (0, 1, 0)


@pytest.mark.parametrize("kind", MILLIONS)
def test_base_size(kind):
    model = checkpoint.MODELS[kind][0](SIZES[kind]["base"])
    assert sum(p.numel() for p in model.parameters()) <= MILLIONS[kind] * 1e6


@pytest.mark.parametrize("kind", MILLIONS)
def test_weights_file_gives_the_model_back(kind, tmp_path):
    model = tiny(kind)
    stored = checkpoint.save(model, tmp_path / "m.safetensors", training={"steps": 3})
    again = checkpoint.load(tmp_path / "m.safetensors", kind)
    assert again.config == model.config
    assert again.weights_hash == stored
    assert not again.training
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value.half().float()), name
    with pytest.raises(CheckpointError, match=f"it holds a {kind}"):
        checkpoint.load(tmp_path / "m.safetensors", next(other for other in MILLIONS if other != kind))


@pytest.mark.parametrize("frames", [41, 40])
def test_recognizer(frames):
    model = tiny("phone-recognizer")
    mel = torch.randn(2, 80, frames) - 5
    content, logits = model(mel)
    pairs = (frames + 1) // 2
    assert content.shape == (2, pairs, model.config.content)
    assert logits.shape == (2, pairs, CLASSES)
    padded = torch.cat([mel, mel[:, :, -1:].expand(-1, -1, frames % 2), torch.zeros(2, 80, 10)], 2)
    mask = lengths_to_mask(torch.tensor([pairs, pairs]), pairs + 5)
    assert close(model(padded, mask)[1][:, :pairs], model(mel, torch.ones(2, pairs, 1))[1])


def test_a_transformer_hears_distances_not_places_and_what_is_near():
    torch.manual_seed(0)
    transformer = Transformer(16, layers=1, heads=2, rotated=6, reach=5)
    x = torch.randn(2, 40, 16)
    other = x.clone()
    other[:, 20] = torch.randn(16)
    changed = ((transformer(x) - transformer(other)).abs().sum((0, 2)) > 1e-5).nonzero().flatten().tolist()
    assert changed == list(range(15, 26))
    later = torch.cat([torch.randn(2, 9, 16), x], 1)
    assert close(transformer(later)[:, 9 + 5 :], transformer(x)[:, 5:])
    mask = lengths_to_mask(torch.tensor([40, 30]), 40)
    assert close(transformer(x, mask)[1, :30], transformer(x[1:, :30])[0])
    far = Transformer(16, layers=1, heads=2, rotated=6)
    far.load_state_dict(transformer.state_dict())
    assert not close(far(x), transformer(x))
    assert close(far(x, mask)[1, :30], far(x[1:, :30])[0])


def test_rotation_is_that_of_complex_numbers():
    x = torch.randn(1, 1, 3, 6)
    angles = torch.rand(3, 2)
    pairs = angles.repeat_interleave(2, -1)
    turned = rotate(x, (pairs.cos(), pairs.sin()))
    expected = torch.view_as_complex(x[..., :4].unflatten(-1, (2, 2)).contiguous()) * torch.exp(1j * angles)
    assert close(turned[..., :4].unflatten(-1, (2, 2)), torch.view_as_real(expected))
    assert torch.equal(turned[..., 4:], x[..., 4:])


def test_classes_of_phonemes():
    ids = torch.tensor([INVENTORY.index(SILENCE), INVENTORY.index(BOUNDARY), FIRST_PHONE, len(INVENTORY) - 1])
    assert to_class(ids).tolist() == [0, 0, 1, CLASSES - 1]


def test_speaker_encoder():
    model = tiny("speaker-encoder")
    mel = torch.randn(3, 80, 51) - 5
    vectors = model(mel)
    assert vectors.shape == (3, 192)
    assert close(vectors.norm(dim=1), torch.ones(3))
    above = mel.clone()
    above[:, speaker_encoder.BANDS :] = 3.0
    assert torch.equal(model(above), vectors)  # what a narrow-band recording lacks is not looked at
    longer = torch.cat([mel, mel[:, :, -1:], torch.randn(3, 80, 20)], 2)
    mask = lengths_to_mask(torch.tensor([26] * 3), 36)
    assert close(model(longer, mask), model(mel, torch.ones(3, 26, 1)))


def naive_spread(model, hidden, durations):
    """One utterance [P, C] by whole durations, phoneme by phoneme."""
    rows = []
    for vector, count in zip(hidden, durations, strict=True):
        for since in range(count):
            place = torch.tensor([since / count, (count - 1 - since) / count, np.log(count) - 2.0])
            rows.append(vector + model.place(place.float()))
    return torch.stack(rows)


def test_spread_is_the_naive_loop():
    model = tiny("synthesizer")
    durations = torch.tensor([[3, 0, 1, 5, 2], [0, 2, 2, 0, 3]])
    hidden = torch.randn(2, 5, model.config.channels)
    spread = model.spread(hidden, durations, 13)
    assert spread.shape == (2, 13, model.config.channels)
    for row, count in enumerate(durations.sum(1)):
        assert close(spread[row, :count], naive_spread(model, hidden[row], durations[row].tolist()))


def say(model, **options):
    said = parse("h ə l ˈoʊ | w ˈɜː l d .")
    vector = torch.nn.functional.normalize(
        torch.randn(192, generator=torch.Generator().manual_seed(1)), dim=0
    )
    settings = {"f0_median": 120.0, "f0_spread": 0.2, **options}
    return model.synthesize(torch.tensor(said.ids), torch.tensor(said.stress), speaker=vector, **settings)


def test_synthesizer_speed_and_pitch():
    model = tiny("synthesizer")
    model.pitch.leave.bias.data[1] = 9.0  # all voiced
    said = say(model)
    frames = said.mel.shape[1]
    assert said.mel.shape == (80, frames)
    assert said.f0.shape == (frames,)
    assert frames > 20
    for speed in (0.5, 0.8, 1.7):
        assert say(model, speed=speed).mel.shape[1] == pytest.approx(frames / speed, abs=1.5)
    assert close(say(model, pitch=12.0).f0, 2 * said.f0, 1e-2)
    assert close(say(model, f0_median=240.0).f0, 2 * said.f0, 1e-2)
    model.pitch.leave.bias.data[1] = -9.0
    assert not say(model).f0.any()


def test_emphasis_swells_by_its_rule():
    model = tiny("synthesizer")
    plain = {"durations": torch.full((10,), 12), "f0": torch.full((120,), 150.0)}
    emphasis = torch.zeros(10)
    emphasis[4:7] = 1.0
    louder = say(model, **plain, emphasis=emphasis).mel - say(model, **plain).mel
    assert close(louder[:, 55:77], torch.full((80, 22), 0.35))
    assert not louder[:, :42].any()
    assert not louder[:, 90:].any()


def test_synthesizer_rounds_without_drift():
    model = tiny("synthesizer")
    model.duration.leave.weight.data.zero_()
    model.duration.leave.bias.data.fill_(float(np.log1p(2.45)))  # 2.45 frames for each of the ten symbols
    assert say(model).mel.shape[1] == round(10 * 2.45)


def test_synthesizer_reads_further_languages():
    model = tiny("synthesizer")
    assert model.reading(["en"]) is model
    wider = model.reading(["en", "de"]).reading(["nl"])
    assert list(wider.config.languages) == ["en", "de", "nl"]
    assert close(say(wider).mel, say(model).mel)  # nothing is lost of what was known
    assert close(say(wider, language="nl").mel, say(wider).mel)
    wider.language.weight.data[1] += 3.0
    assert close(say(wider).mel, say(model).mel)
    german = say(wider, language="de").mel
    assert german.shape != say(wider).mel.shape or not close(german, say(wider).mel, 1e-2)
    assert close(say(wider.reading(["fr"]), language="de").mel, german)


def test_padding_does_not_change_the_synthesizer():
    model = tiny("synthesizer")
    ids, stress = torch.randint(2, 40, (2, 9)), torch.randint(0, 3, (2, 9))
    condition = model.condition(torch.nn.functional.normalize(torch.randn(2, 192)), torch.ones(2))
    rate = torch.tensor([12.0, 15.0])
    mask = lengths_to_mask(torch.tensor([6, 9]), 9)
    hidden, durations = model.plan(ids, stress, condition, rate, mask)
    alone, planned = model.plan(ids[:1, :6], stress[:1, :6], condition[:1], rate[:1], torch.ones(1, 6, 1))
    assert close(hidden[:1, :6] * mask[:1, :6], alone)
    assert close(durations[:1, :6], planned)


@pytest.mark.parametrize("frames", [30, 31])
def test_converter(frames):
    model = tiny("converter")
    pairs = (frames + 1) // 2
    content, logits = torch.randn(2, pairs, model.config.content), torch.randn(2, pairs, CLASSES)
    f0 = torch.rand(2, frames) * 200
    speaker = torch.nn.functional.normalize(torch.randn(2, 192))
    heard = torch.randn(2, 80, frames)
    mel = model(content, logits, f0, heard, torch.zeros(2, frames), speaker, torch.ones(2))
    assert mel.shape == (2, 80, frames)
    # What passes without knowledge of the speaker is the bottleneck alone.
    assert model.squeeze.out_features == model.config.bottleneck < model.config.content
    assert model.encode(content, logits).shape == (2, 2 * pairs, model.config.channels)


def test_loudness_follows_the_level():
    mel = torch.full((1, 80, 12), -5.0)
    assert close(loudness_of(mel), torch.zeros(1, 12))
    assert close(loudness_of(mel + 2), torch.ones(1, 12))
    mel[:, 70:] = 0.0  # above 5.5 kHz nothing counts
    assert close(loudness_of(mel), torch.zeros(1, 12))


def test_the_outline_is_the_shape_without_its_mean():
    band = torch.arange(80) + 0.5
    wave = torch.cos(torch.pi * 3 * band / 80)
    swing = torch.tensor([1.0, -1.0] * 6)
    mel = -5.0 + wave[None, :, None] * swing  # the third cosine comes and goes, the level stays
    outline = outline_of(mel, 4)
    assert outline.shape == (1, 12, 4)
    assert close(outline[..., 2], swing[None] * (80 / 2) ** 0.5 / 4, atol=1e-3)
    assert close(outline[..., [0, 1, 3]], torch.zeros(1, 12, 3), atol=1e-3)
    tilted = mel + torch.linspace(-1, 1, 80)[:, None]  # another microphone
    assert close(outline_of(tilted, 4), outline, atol=1e-3)


def test_moves_are_what_is_not_the_tract():
    band = torch.arange(80) + 0.5
    wave = torch.cos(torch.pi * 3 * band / 80)
    step = (torch.arange(60) >= 30).float()
    moves = moves_of(-5.0 + wave[None, :, None] * step, 4)
    assert moves.shape == (1, 60, 4)
    assert float(moves[0, 30, 2]) > 0 > float(moves[0, 29, 2])
    still = torch.cat([moves[:, :20], moves[:, 40:]], 1)  # 160 ms later it is the tract again
    assert close(still, torch.zeros_like(still), atol=1e-5)
    assert close(moves[..., [0, 1, 3]], torch.zeros(1, 60, 3), atol=1e-3)


def test_the_converter_is_told_the_outline_of_hisses_and_the_moves_of_voices():
    model = tiny("converter")
    content, logits = torch.zeros(1, 20, model.config.content), torch.zeros(1, 20, CLASSES)
    speaker = torch.nn.functional.normalize(torch.randn(1, 192))
    heard, other = torch.randn(2, 1, 80, 40)

    def made(f0, heard, moving):
        return model(
            *(content, logits, f0, heard, torch.zeros(1, 40), speaker, torch.ones(1)),
            moving=moving,
        )

    voiced, hissed = torch.full((1, 40), 100.0), torch.zeros(1, 40)
    assert close(made(voiced, heard, heard), made(voiced, other, heard))
    assert not close(made(voiced, heard, heard), made(voiced, heard, other))
    assert close(made(hissed, heard, heard), made(hissed, heard, other))
    assert not close(made(hissed, heard, heard), made(hissed, other, heard))
    assert close(made(voiced, heard, None), made(voiced, heard, heard))


@pytest.mark.parametrize("hertz", [60.0, 117.0, 240.0, 430.0])
def test_pulses(hertz):
    f0 = torch.full((1, 95), hertz)
    wave = pulses(f0)[0].numpy()
    rate = ACOUSTICS.sample_rate
    assert wave.shape == (94 * 256,)
    spectrum = np.abs(np.fft.rfft(wave * np.blackman(len(wave)))) ** 2
    frequency = np.fft.rfftfreq(len(wave), 1 / rate)
    assert spectrum[frequency > 11050].sum() < 1e-6 * spectrum.sum()
    at_harmonics = sum(
        spectrum[np.abs(frequency - k * hertz) < 5].sum() for k in range(1, int(11000 / hertz) + 1)
    )
    assert at_harmonics > 0.999 * spectrum.sum()
    highest = np.sort(np.argsort(wave)[-int(0.5 * hertz * len(wave) / rate) :])
    gaps = np.diff(highest)
    assert np.allclose(gaps / (rate / hertz), np.round(gaps / (rate / hertz)), atol=1.5 * hertz / rate + 0.02)


def test_pitch_goes_on_through_what_is_unvoiced():
    f0 = torch.tensor([[0.0, 0, 150, 160, 0, 0, 200, 0], [0, 0, 0, 0, 0, 0, 0, 0]])
    bridged = bridge(f0)
    between = [160 * 1.25 ** (1 / 3), 160 * 1.25 ** (2 / 3)]
    assert bridged[0].tolist() == pytest.approx([150, 150, 150, 160, *between, 200, 200])
    assert len(set(bridged[1].tolist())) == 1
    assert bridged[1, 0] > 50
    assert torch.equal(bridge(bridged), bridged)
    assert pulses(bridged).isfinite().all()


def gliding(frames):
    """Acoustics of `frames` frames: a mel of real level and a melody with gaps."""
    mel = torch.randn(80, frames) * 0.5 - 4
    f0 = 150 + 60 * torch.sin(torch.arange(frames) / 13)
    f0[frames // 3 : frames // 2] = 0
    return Acoustics(mel, f0)


def test_vocoder_shape_and_noise():
    model = tiny("vocoder")
    said = gliding(40)
    noise = torch.randn(1, 39 * 256)
    wave = model(said.mel[None], said.f0[None], noise)
    assert wave.shape == (1, 39 * 256)
    assert torch.equal(wave, model(said.mel[None], said.f0[None], noise))
    assert not torch.equal(wave, model(said.mel[None], said.f0[None]))


def test_untrained_vocoder_already_follows_the_mel(kathleen):
    from voiceswap import audio
    from voiceswap.acoustics import f0_track

    samples = audio.level(audio.read(kathleen[0]))[:48000]
    mel, f0 = log_mel(torch.from_numpy(samples)[None]), torch.from_numpy(f0_track(samples))[None]
    model = Vocoder(vocoder.SIZES["tiny"]).eval()
    with torch.inference_mode():
        again = log_mel(model(mel, f0))
    heard = mel[..., : again.shape[2]] > -7
    assert (again - mel[..., : again.shape[2]])[heard].abs().mean() < 1.0


def test_corrections_bring_the_mel_nearer_to_the_one_asked_for(kathleen):
    from voiceswap import audio
    from voiceswap.acoustics import f0_track

    samples = audio.level(audio.read(kathleen[0]))[:48000]
    mel, f0 = log_mel(torch.from_numpy(samples)[None]), torch.from_numpy(f0_track(samples))[None]
    model = tiny("vocoder")
    noise = torch.randn(1, (mel.shape[2] - 1) * 256)
    missing = []
    for corrections in range(4):
        model.config = dataclasses.replace(model.config, corrections=corrections)
        with torch.inference_mode():
            again = log_mel(model(mel, f0, noise))
        missing.append(float((again - mel)[..., 4:-4].abs().mean()))
    assert missing == sorted(missing, reverse=True)
    assert missing[3] < 0.6 * missing[0]


@pytest.mark.parametrize("block", [8, 37, 64, 1000])
@pytest.mark.parametrize("frames", [2, 61, 150])
def test_rendering_in_blocks_is_rendering_at_once(block, frames):
    model, said = tiny("vocoder"), gliding(frames)
    whole = np.concatenate(list(render(model, said, seed=3, block=10**6)))
    pieces = list(render(model, said, seed=3, block=block, first=max(1, block // 4)))
    assert len(whole) == frames * 256
    assert len(pieces[0]) == min(frames, max(1, block // 4)) * 256
    assert np.allclose(np.concatenate(pieces), whole, atol=1e-4)
    other = np.concatenate(list(render(model, said, seed=4, block=block)))
    assert not np.allclose(other, whole, atol=1e-4)


def test_half_precision_hardly_changes_what_is_heard():
    said = gliding(120)
    model = checkpoint.load_from(WEIGHTS, "vocoder")
    plain = np.concatenate(list(render(model, said, seed=0)))
    assert halved(model) is model
    made = np.concatenate(list(render(model, said, seed=0)))
    noise = np.sqrt(np.mean((made - plain) ** 2) / np.mean(plain**2))
    assert 0 < noise < 0.05
    low = {name for name, value in model.named_parameters() if value.dtype == torch.bfloat16}
    assert {name.split(".")[-2] for name in low} == {"widen", "narrow", "leave"}


@pytest.mark.parametrize("expected", [True, False])
def test_only_processors_with_the_instructions_multiply_in_half_precision(expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: expected)
    models = Models(WEIGHTS, torch.device("cpu"))
    kinds = {torch.bfloat16: expected, torch.float32: True}
    for model in (models.synthesizer, models.converter, models.vocoder):
        assert {value.dtype for value in model.parameters()} == {kind for kind, met in kinds.items() if met}
    for model in (models.encoder, models.recognizer):  # who and what is heard are measured
        assert {value.dtype for value in model.parameters()} == {torch.float32}


def test_base_vocoder_needs_no_wider_context():
    """Six blocks of kernel 7 see 18 frames to a side, the transforms 4 more, and each correction 4."""
    model = Vocoder().eval()
    model.filter.leave.weight.data.normal_(std=0.02)
    said = gliding(120)
    whole = np.concatenate(list(render(model, said, seed=0, block=10**6)))
    pieces = np.concatenate(list(render(model, said, seed=0, block=40)))
    assert np.allclose(pieces, whole, atol=1e-3 * np.abs(whole).max())


@pytest.mark.parametrize("kind", MILLIONS)
def test_configurations_are_frozen(kind):
    for size in ("tiny", "base", "large"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            SIZES[kind][size].channels = 1


def run_all(device):
    """What every tiny model makes of the same input on `device`, on the CPU."""
    torch.manual_seed(0)
    models = {kind: tiny(kind).to(device) for kind in MILLIONS}
    mel, f0 = torch.randn(1, 80, 60) - 5, torch.rand(1, 60) * 100 + 100
    vector = torch.nn.functional.normalize(torch.randn(1, 192))
    noise = torch.randn(1, 59 * 256)
    mel, f0, vector, noise = (x.to(device) for x in (mel, f0, vector, noise))
    with torch.inference_mode():
        content, logits = models["phone-recognizer"](mel)
        condition = models["synthesizer"].condition(vector, torch.ones(1, device=device))
        ids = torch.arange(8, device=device)[None] + 10
        hidden, durations = models["synthesizer"].plan(
            ids, ids * 0, condition, torch.full((1,), 13.0, device=device)
        )
        ones = torch.ones(1, device=device)
        made = [
            models["vocoder"](mel, f0, noise),
            logits,
            models["speaker-encoder"](mel),
            durations,
            models["synthesizer"].decode(
                models["synthesizer"].spread(hidden, torch.full_like(ids, 7), 56), f0[:, :56], condition
            ),
            models["converter"](content, logits, f0, mel, loudness_of(mel), vector, ones),
        ]
    return [x.float().cpu() for x in made]


@pytest.mark.gpu
def test_gpu_and_cpu_agree():
    for here, there in zip(run_all("cpu"), run_all("cuda"), strict=True):
        assert close(here, there, 5e-3 * max(1.0, float(here.abs().max())))


@pytest.mark.gpu
def test_synthesis_and_rendering_on_a_gpu():
    model = tiny("synthesizer").cuda()
    said = parse("h ə l ˈoʊ")
    made = model.synthesize(
        torch.tensor(said.ids, device="cuda"),
        torch.tensor(said.stress, device="cuda"),
        speaker=torch.nn.functional.normalize(torch.randn(192), dim=0).cuda(),
        f0_median=120.0,
        f0_spread=0.2,
    )
    pieces = list(render(tiny("vocoder").cuda(), made, seed=0))
    assert sum(map(len, pieces)) == made.mel.shape[1] * 256


def test_models_are_known_by_kind():
    makers = (Vocoder, PhoneRecognizer, SpeakerEncoder, Synthesizer, Converter)
    kinds = {model.kind for model in (*makers, detector.Detector)}
    assert kinds == set(checkpoint.MODELS) == set(MILLIONS)


def test_sharpening_restores_contrast_and_hushes_what_lies_below_the_pitch():
    band, frame = torch.arange(80), torch.arange(40)
    waves = torch.sin(2 * torch.pi * band / 10)[:, None] + torch.sin(2 * torch.pi * frame / 6)
    mel, f0 = waves[None] - 5, torch.zeros(1, 40)
    voiced = f0 + 200.0
    inner = (slice(None), slice(10, 70), slice(8, 32))
    assert close(sharpen(mel, f0, OF_BUILTIN, unvoiced=False), mel)
    made = sharpen(mel, f0, OF_BUILTIN, unvoiced=True)
    assert 1.1 < made[inner].std() / mel[inner].std() < 1.4
    assert 1 < sharpen(mel, f0, OF_PEOPLE, unvoiced=True)[inner].std() / mel[inner].std() < 1.1
    # The two kinds of deviations grow by a share each.
    between, over = (sharpen(mel, f0, Sharpness(*by), unvoiced=True) - mel for by in ((0.15, 0), (0, 0.1)))
    assert close(between.std(2)[:, 10:70], torch.zeros(60), 1e-4)
    assert close(over.std(1)[:, 8:32], torch.zeros(24), 1e-4)
    both = sharpen(mel, voiced, OF_BUILTIN, unvoiced=False), made
    assert close(both[0][inner], both[1][inner])
    flat = torch.full((1, 80, 40), -5.0)  # nothing to sharpen
    assert close(sharpen(flat, f0, OF_BUILTIN, unvoiced=True), flat)
    hushed = flat - sharpen(flat, voiced, OF_BUILTIN, unvoiced=False)
    assert hushed[0, 0, 20] > 0.7  # 37 Hz
    assert hushed[0, 20:].abs().max() < 1e-4


def test_a_conversion_keeps_most_of_the_source_s_dynamics():
    mel = torch.full((1, 80, 60), -4.0)
    heard = mel.clone()
    heard[:, :, 30:] -= 2.0
    kept = keep_energy(mel, heard)
    assert close(kept[:, :, :27], mel[:, :, :27])
    assert -1.6 < float(kept[0, 10, 50] - mel[0, 10, 50]) < -0.8
    heard[:, :, 30:] = -30.0  # digital silence: no more than a bounded change
    assert float((keep_energy(mel, heard) - mel).min()) >= -2.0 - 1e-5


def test_built_in_voices_have_less_boom():
    taken = -lighten(torch.zeros(2, 80, 5)).mean((0, 2))
    assert 20 / np.log(10) * float(taken[0]) == pytest.approx(4.3, abs=0.05)
    assert close(taken[:7], taken[:1].expand(7))  # bands lie 37 Hz apart
    assert not taken[19:].any()
    assert (taken[:-1] >= taken[1:]).all()


def test_melodies_of_people_move_slowly(monkeypatch: pytest.MonkeyPatch):
    model = tiny("synthesizer")
    shape, voicing = torch.tensor([[1.0, -1.0] * 12]), torch.ones(1, 24)
    shape[:, 12:], voicing[:, 12:16] = 0.5, -1.0
    monkeypatch.setattr(model, "melody", lambda *given: (shape, voicing))
    timbre = SimpleNamespace(add=lambda mel, f0, share: mel)
    given = torch.arange(2, 8), torch.zeros(6, dtype=torch.long)
    options = {
        "speaker": torch.nn.functional.normalize(torch.randn(192), dim=0),
        "f0_median": 150.0,
        "f0_spread": 0.2,
        "durations": torch.full((6,), 4),
    }
    plain, own = (model.synthesize(*given, **options, timbre=known).f0 for known in (None, timbre))
    assert not plain[12:16].any()
    assert not own[12:16].any()
    assert 3 < float(plain[:12].log().std() / own[:12].log().std()) < 4  # nine frames' mean alone is nine
    # What is not voiced, where a melody is a guess, moves nothing: the end is as high as before.
    assert close(own[16:], plain[16:])


def test_what_is_heard_has_passed_the_postfilter():
    model = tiny("converter")
    content, logits = torch.randn(1, 15, model.config.content), torch.randn(1, 15, CLASSES)
    f0, heard = torch.full((1, 30), 150.0), torch.randn(1, 80, 30)
    speaker, quality = torch.nn.functional.normalize(torch.randn(1, 192)), torch.ones(1)
    plain = model(content, logits, f0, heard, loudness_of(heard), speaker, quality)
    told = loudness_of(heard), outline_of(heard, model.config.outline)
    made = model.convert(content, logits, f0, heard, *told, speaker, quality)
    assert close(made, sharpen(keep_energy(plain, heard), f0, OF_PEOPLE, unvoiced=False))
    assert not close(made, plain, 1e-2)


@pytest.mark.parametrize("sharpness", [OF_BUILTIN, OF_PEOPLE, None])
def test_read_text_has_passed_the_postfilter(sharpness: Sharpness | None, monkeypatch: pytest.MonkeyPatch):
    model = tiny("synthesizer")
    decoded = []
    monkeypatch.setattr(model, "decode", lambda *given: decoded.append(torch.randn(1, 80, 24)) or decoded[0])
    f0 = torch.full((24,), 150.0)
    made = model.synthesize(
        torch.arange(2, 8),
        torch.zeros(6, dtype=torch.long),
        speaker=torch.nn.functional.normalize(torch.randn(192), dim=0),
        f0_median=150.0,
        f0_spread=0.2,
        durations=torch.full((6,), 4),
        f0=f0,
        sharpness=sharpness,
    )
    wanted = decoded[0] if sharpness is None else sharpen(decoded[0], f0[None], sharpness, unvoiced=True)
    assert close(made.mel, wanted[0])
