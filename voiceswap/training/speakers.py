"""What the acoustic models are told of a speaker: vectors from other recordings, and F0 statistics."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch

from voiceswap.acoustics import pitch_statistics
from voiceswap.data.batches import Utterance
from voiceswap.data.features import FeatureStore
from voiceswap.data.perturb import warp_formants
from voiceswap.models.speaker_encoder import SpeakerEncoder


@torch.inference_mode()
def store_vectors(encoder: SpeakerEncoder, store: FeatureStore, *, frames: int = 400) -> np.ndarray:
    """Unit vectors [items, S] of every utterance of a store, cached beside it under the encoder's hash."""
    path = store.beside(f"vectors-{str(encoder.weights_hash)[:12]}.npy")
    done = np.load(path) if path.is_file() else np.zeros((0, encoder.config.vector), np.float32)
    device = next(encoder.parameters()).device
    if len(done) < len(store.items):
        new = []
        for item in store.items[len(done) :]:
            mel = torch.from_numpy(store.mel(item)[:frames].astype(np.float32)).T[None]
            new.append(encoder(mel.to(device))[0].cpu().numpy())
        done = np.concatenate([done, np.stack(new)])
        partial = path.with_name(f"{path.stem}-{os.getpid()}.npy")  # other processes may read the old one
        np.save(partial, done)
        os.replace(partial, path)
    return done


class SpeakerTable:
    """Vectors and F0 statistics of the speakers of some utterances."""

    def __init__(self, encoder: SpeakerEncoder, utterances: Sequence[Utterance]) -> None:
        stores = {u.store.folder: u.store for u in utterances}
        tables = {folder: store_vectors(encoder, store) for folder, store in stores.items()}
        places = {
            folder: {item.id: i for i, item in enumerate(store.items)} for folder, store in stores.items()
        }
        vectors: dict[str, list[np.ndarray]] = {}
        pitch: dict[str, list[np.ndarray]] = {}
        self.own: dict[str, int] = {}
        self.encoder = encoder
        self.utterances: dict[str, list[Utterance]] = {}
        for u in utterances:
            self.utterances.setdefault(u.item.speaker, []).append(u)
            folder, speaker = u.store.folder, u.item.speaker
            self.own[u.item.id] = len(vectors.setdefault(speaker, []))
            vectors[speaker].append(tables[folder][places[folder][u.item.id]])
            f0 = u.f0()
            pitch.setdefault(speaker, []).append(np.log(f0[f0 > 0]))
        self.vectors = {speaker: np.stack(rows) for speaker, rows in vectors.items()}
        self.names = sorted(self.vectors)
        self.mean = np.mean([rows.mean(0) for rows in self.vectors.values()], 0)
        self.pitch = {speaker: pitch_statistics(np.concatenate(logs)) for speaker, logs in pitch.items()}

    def vector(self, utterance: Utterance, rng: np.random.Generator, *, astray: float = 0.0) -> np.ndarray:
        """The mean of one to four recordings of the speaker, not this one where there are others [S].

        By up to `astray` of its length it is led towards some other speaker's: the vectors of people who are
        known from training lie close together, those of a stranger's recordings do not.
        """
        rows = self.vectors[utterance.item.speaker]
        vector = unit(rows[self._others(utterance, rng, 4)].mean(0))
        if not astray:
            return vector
        others = self.vectors[self.names[int(rng.integers(len(self.names)))]]
        towards = others[int(rng.integers(len(others)))]
        return unit(vector + float(rng.uniform(0, astray)) * (towards - self.mean))

    def another(self, utterance: Utterance, rng: np.random.Generator) -> Utterance | None:
        """Another recording of the speaker, if there is one."""
        everything = self.utterances[utterance.item.speaker]
        if len(everything) < 2:
            return None
        return everything[int(self._others(utterance, rng, 1)[0])]

    @torch.no_grad()
    def warped_vector(self, utterance: Utterance, factor: float, rng: np.random.Generator) -> np.ndarray:
        """The vector of a person who does not exist: this one with formants and F0 moved by `factor` [S]."""
        everything = self.utterances[utterance.item.speaker]
        rows = []
        for index in self._others(utterance, rng, 2):
            mel = warp_formants(everything[index].mel()[:300], factor)
            rows.append(self.encoder(torch.from_numpy(mel).T[None].to(self._device))[0].cpu().numpy())
        return unit(np.mean(rows, 0))

    @property
    def _device(self) -> torch.device:
        return next(self.encoder.parameters()).device

    def _others(self, utterance: Utterance, rng: np.random.Generator, most: int) -> np.ndarray:
        """Up to `most` numbers of recordings of the speaker, not of this one where there are others."""
        count = len(self.vectors[utterance.item.speaker])
        others = [i for i in range(count) if i != self.own.get(utterance.item.id)] or [0]
        return rng.choice(others, min(len(others), int(rng.integers(1, most + 1))), replace=False)


def unit(vector: np.ndarray) -> np.ndarray:
    """`vector` [S] at length 1, float32."""
    return (vector / np.linalg.norm(vector)).astype(np.float32)
