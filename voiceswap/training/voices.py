"""Built-in voices: blends of speakers that belong to nobody, written to ``voices.json``.

Every voice mixes at least three training speakers, of whom no one has more than half: the result lies between
them and is none of them. `python -m voiceswap.training.voices FEATURES… --weights DIR` makes those that ship;
`--recipes FILE` gives others, such as `{"alto-1": {"ada": 0.4, "ben": 0.3, "cleo": 0.3}}` in JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from voiceswap import checkpoint
from voiceswap.data.batches import load_utterances
from voiceswap.errors import DataError, VoiceswapError
from voiceswap.models.synthesizer import DEFAULT_RATE
from voiceswap.training.run import stores
from voiceswap.training.speakers import SpeakerTable, unit

RECIPES: dict[str, dict[str, float]] = {
    "soprano-1": {"heart-t000": 0.42, "kokoro-t000": 0.33, "kokoro-t022": 0.25},
    "soprano-2": {"kokoro-t008": 0.4, "kokoro-t013": 0.3, "kokoro-t018": 0.3},
    "alto-1": {"heart-t000": 0.5, "kokoro-t001": 0.25, "kokoro-t008": 0.25},
    "alto-2": {"kokoro-t013": 0.34, "kokoro-t014": 0.33, "heart-t000": 0.33},
    "tenor-1": {"kokoro-t013": 0.4, "kokoro-t007": 0.3, "kokoro-t020": 0.3},
    "tenor-2": {"kokoro-t019": 0.4, "kokoro-t015": 0.3, "kokoro-t020": 0.3},
    "baritone-1": {"kokoro-t005": 0.4, "kokoro-t021": 0.3, "kokoro-t015": 0.3},
    "bass-1": {"kokoro-t006": 0.4, "kokoro-t004": 0.3, "kokoro-t012": 0.3},
}
"""Voice → shares of the speakers it is made of."""


def _check(name: str, shares: Mapping[str, float], known: Collection[str]) -> None:
    """Raises DataError if a speaker is not among the `known`, or the recipe does not hide everyone in it."""
    missing = sorted(set(shares) - set(known))
    if missing:
        raise DataError(
            f"voice {name}",
            f"the data has no {', '.join(missing)}",
            "Name speakers of the feature folders in --recipes FILE",
        )
    if len(shares) < 3 or max(shares.values()) > sum(shares.values()) / 2:
        raise DataError(
            f"voice {name}", "a blend has three speakers or more, none with over half", "Mix in more people"
        )


def blended(table: SpeakerTable, name: str, shares: Mapping[str, float]) -> dict[str, object]:
    """A row of voices.json; DataError if a speaker is missing or the recipe does not hide everyone in it."""
    _check(name, shares, table.vectors)
    total = sum(shares.values())
    vector = sum(share * unit(table.vectors[speaker].mean(0)) for speaker, share in shares.items())
    median = np.exp(sum(share / total * np.log(table.pitch[speaker][0]) for speaker, share in shares.items()))
    spread = sum(share / total * table.pitch[speaker][1] for speaker, share in shares.items())
    return {
        "name": name,
        "space": table.encoder.weights_hash,
        "vector": [round(float(x), 6) for x in unit(np.asarray(vector))],
        "f0_median": round(float(median), 2),
        "f0_spread": round(float(spread), 4),
        "rate": DEFAULT_RATE,
    }


def read_recipes(path: Path) -> dict[str, dict[str, float]]:
    """Recipes like `RECIPES` from a JSON file; DataError for anything else."""
    try:
        found = json.loads(path.read_text("utf-8"))
        return {
            str(name): {str(who): float(share) for who, share in shares.items()}
            for name, shares in found.items()
        }
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"the recipes {str(path)!r}",
            f"they cannot be read ({error})",
            'Write JSON such as {"alto-1": {"ada": 0.4, "ben": 0.3, "cleo": 0.3}}',
        ) from None


def write(
    weights: Path, data: Sequence[Path], recipes: Mapping[str, Mapping[str, float]] = RECIPES
) -> list[str]:
    """Write ``voices.json`` beside the weights, blended by `recipes`, and return the names in it."""
    encoder = checkpoint.load(weights / "speaker-encoder.safetensors", "speaker-encoder")
    wanted = {speaker for shares in recipes.values() for speaker in shares}
    folders = [folder for path in data for folder in stores(path)]
    found = load_utterances(folders, lambda item: item.speaker in wanted)
    for name, shares in recipes.items():  # before anything is computed
        _check(name, shares, {utterance.item.speaker for utterance in found})
    table = SpeakerTable(encoder, found)
    rows = [blended(table, name, shares) for name, shares in recipes.items()]
    lines = ",\n".join(json.dumps(row) for row in rows)  # a voice a line
    (weights / "voices.json").write_text(f"[\n{lines}\n]\n", "utf-8")
    return list(recipes)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code, 2 for what cannot be used, as `voiceswap` does."""
    parser = argparse.ArgumentParser(prog="python -m voiceswap.training.voices", description=__doc__)
    parser.add_argument("data", nargs="+", type=Path, help="folders of features")
    parser.add_argument("--weights", type=Path, required=True, help="folder with the speaker encoder")
    parser.add_argument("--recipes", type=Path, help="JSON: voice → shares of speakers; else what ships")
    given = parser.parse_args(arguments)
    try:
        names = write(given.weights, given.data, read_recipes(given.recipes) if given.recipes else RECIPES)
    except VoiceswapError as error:
        print(f"voiceswap: {error}", file=sys.stderr)
        return 2
    print(f"{given.weights / 'voices.json'}: {', '.join(names)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
