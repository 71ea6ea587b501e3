"""The same GAN trained by coqui-tts' code and by voiceswap's, in one run: what a step of each costs.

    pip install --no-deps coqui-tts==0.28.0 coqui-tts-trainer==0.4.0 coqpit-config==0.2.5
    pip install torchcodec anyascii einops inflect transformers  # and voiceswap[train]
    python benchmarks/coqui.py FEATURES [--rounds 4] [--steps 4] [--batch 2] [--samples 4096]

The model is coqui's HiFi-GAN with the paper's smaller generator (V2) and all its discriminators. `coqui-tts`
is its Trainer over its GANDataset and DataLoader; `voiceswap` is `training/loop.py` with a task of coqui's
modules and losses over the feature store. Weights, recordings (24 kHz wav files for coqui), batch, crop,
losses, optimizer and clipping are the same, and both learn in float32: our bfloat16 products leave alone
convolutions whose weights are normed. The codes take turns, `--rounds` times `--steps`; the first step of
each turn, which allocates, is left out. Both have one thread of a CPU. Seconds are the processor's, which
waiting for other processes does not add to; those on the wall stand beside them. `GFLOP done` is what a code
computes, products alone; the rates are of what voiceswap computes, which suffices: coqui also finds
gradients of the discriminators that it throws away. Prints a Markdown table.

ParallelWaveGAN 0.6.1 is not compared: its setup.py imports pip, which pip's isolated builds lack.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from shown import table
from throughput import ceiling, counter
from torch import Tensor, nn
from trainer import Trainer, TrainerArgs
from TTS.vocoder.configs import HifiganConfig
from TTS.vocoder.models.gan import GAN

from voiceswap.acoustics import ACOUSTICS
from voiceswap.data.batches import Pool, Utterance, load_utterances
from voiceswap.training.loop import Batch, Report, Task, train
from voiceswap.training.optimization import TrainingConfig
from voiceswap.training.run import stores


def clocks() -> tuple[float, float]:
    """The processor's and the wall's, in seconds."""
    return time.process_time(), time.perf_counter()


class Marks:
    """When each batch was asked for and given; and the operations of the first step, which is not timed."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, float]] = []
        self.given: list[tuple[float, float]] = []
        self.counted = counter()

    def ask(self, _: Any = None) -> None:
        if len(self.asked) == 1:
            self.counted.__exit__(None, None, None)
        self.asked.append(clocks())
        if len(self.asked) == 1:
            self.counted.__enter__()

    def give(self, _: Any = None) -> None:
        self.given.append(clocks())

    def steps(self) -> np.ndarray:
        """[steps, 2 clocks, 2]: seconds of every step but the first, and of them those spent on its batch."""
        asked, given = np.array(self.asked), np.array(self.given)
        return np.stack([np.diff(asked, axis=0), given - asked[:-1]], -1)[1:]


class Wrapped(Task):
    """coqui's generator, discriminators and losses for voiceswap's loop."""

    def __init__(self, gan: GAN, utterances: list[Utterance]) -> None:
        self.model, self.critic = gan.model_g, gan.model_d
        self.judged, self.pleased = gan.get_criterion()
        self.config = gan.config
        self.pool = Pool(utterances)
        self.marks = Marks()

    def batch(self, rng: np.random.Generator) -> Batch:
        """mel [B, M, T], wave [B, 1, T * hop]."""
        self.marks.ask()
        samples, hop = self.config.seq_len, ACOUSTICS.hop
        mels, waves = [], []
        for utterance, chance in self.pool.rows(rng, self.config.batch_size):
            item, store = utterance.item, utterance.store
            start = int(chance.integers(0, (item.samples - samples) // hop + 1))
            mels.append(store.mel(item)[start : start + samples // hop].astype(np.float32).T)
            waves.append(
                store.audio(item)[None, start * hop : start * hop + samples].astype(np.float32) / 32768
            )
        batch = {"mel": torch.from_numpy(np.stack(mels)), "wave": torch.from_numpy(np.stack(waves))}
        self.marks.give()
        return batch

    def losses(self, model: nn.Module, batch: Batch, step: int) -> tuple[dict[str, Tensor], Any]:
        made, wave = model(batch["mel"]), batch["wave"]
        self.critic.requires_grad_(False)
        scores, fake = self.critic(made)
        with torch.no_grad():
            _, real = self.critic(wave)
        self.critic.requires_grad_(True)
        found = self.pleased(made, wave, scores, fake, real)
        return {"spectral": found["G_gen_loss"], "adversarial": found["G_adv_loss"]}, (wave, made.detach())

    def critic_losses(self, critic: nn.Module, seen: Any) -> dict[str, Tensor]:
        wave, made = seen
        return {"critic": self.judged(critic(made)[0], critic(wave)[0])["loss"]}

    def validate(self, model: nn.Module) -> Report:
        self.marks.ask()  # the last step has ended
        return Report({})

    def shipped(self, model: nn.Module) -> None:
        return None


def gan(batch: int, samples: int) -> GAN:
    """The model with the weights that both begin with."""
    config = HifiganConfig(
        batch_size=batch,
        seq_len=samples,
        epochs=1,
        run_eval=False,
        test_delay_epochs=1,
        save_best_after=10**9,
    )
    config.generator_model_params["upsample_initial_channel"] = 128
    config.audio.sample_rate = config.l1_spec_loss_params["sample_rate"] = ACOUSTICS.sample_rate
    config.audio.num_mels, config.audio.mel_fmax = ACOUSTICS.n_mels, ACOUSTICS.f_max
    torch.manual_seed(0)
    return GAN(config)


def coqui(wavs: list[Path], model: GAN, steps: int, out: Path) -> Marks:
    marks = Marks()
    Trainer(
        TrainerArgs(),
        model.config,
        out,
        model=model,
        train_samples=[str(wavs[i % len(wavs)]) for i in range(steps * model.config.batch_size)],  # one epoch
        parse_command_line_args=False,
        callbacks={
            "on_train_epoch_start": marks.ask,
            "on_train_step_start": marks.give,
            "on_train_step_end": marks.ask,
        },
    ).fit()
    return marks


def voiceswap(utterances: list[Utterance], model: GAN, steps: int, out: Path) -> Marks:
    task, theirs = Wrapped(model, utterances), model.config
    config = TrainingConfig(
        steps=steps,
        warmup=1,
        learning_rate=theirs.lr_gen,
        critic_rate=theirs.lr_disc,
        weight_decay=theirs.optimizer_params["weight_decay"],
        clip=theirs.grad_clip[0],
    )
    train(task, out, config=config)
    return task.marks


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("features", type=Path)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--samples", type=int, default=4096, help="of a crop; a multiple of 256")
    parser.add_argument("--clips", type=int, default=48)
    given = parser.parse_args()
    torch.set_num_threads(1)
    # Two seconds and more: coqui trims silence before it takes a crop.
    found = load_utterances(stores(given.features), lambda item: item.samples > 2 * ACOUSTICS.sample_rate)
    utterances = found[: given.clips]
    most, done = 0.0, {}
    with tempfile.TemporaryDirectory() as place:
        wavs = [Path(place) / f"{number}.wav" for number in range(len(utterances))]
        for wav, utterance in zip(wavs, utterances, strict=True):
            soundfile.write(wav, utterance.audio(), ACOUSTICS.sample_rate)
        codes = {"coqui-tts": partial(coqui, wavs), "voiceswap": partial(voiceswap, utterances)}
        took: dict[str, list[np.ndarray]] = {name: [] for name in codes}
        for _ in range(given.rounds):
            most = max(most, ceiling(torch.float32, time.process_time))
            for name, code in codes.items():
                with tempfile.TemporaryDirectory(dir=place) as out, redirect_stdout(sys.stderr):
                    marks = code(gan(given.batch, given.samples), given.steps + 1, Path(out))
                took[name].append(marks.steps())
                done[name] = marks.counted.get_total_flops()
                print(name, took[name][-1][:, 0, 0].round(2), file=sys.stderr, flush=True)
    learnt, needed = given.batch * given.samples / ACOUSTICS.sample_rate, done["voiceswap"] / 1e9
    rows = []
    for name, turns in took.items():
        steps = np.concatenate(turns)
        low, step, high = np.percentile(steps[:, 0, 0], (25, 50, 75))
        rows.append(
            (
                *(name, f"{step:.2f} ({low:.2f}–{high:.2f})", f"{np.median(steps[:, 1, 0]):.2f}"),
                *(f"{steps[:, 0, 1].sum() / steps[:, 0, 0].sum():.1%}", f"{done[name] / 1e9:.0f}"),
                *(f"{needed / step:.1f}", f"{1e9 * needed / step / most:.0%}", f"{learnt / step:.3f}"),
            )
        )
    print(f"{given.rounds} turns of {given.steps} steps each, {learnt:.2f} s of speech a step; "
          f"a large product: {most / 1e9:.0f} GFLOP/s\n")  # fmt: skip
    heads = (
        *("code", "step, s (quartiles)", "on the wall, s", "of it making the batch", "GFLOP done"),
        *("needed GFLOP/s", "of the ceiling", "speech learnt, s a second"),
    )
    print(table(heads, rows))


if __name__ == "__main__":
    main()
