"""The mean of two weights of one model: the shipped synthesizer and converter are such.

    python benchmarks/mean_weights.py KIND ONE OTHER OUT [--share 0.5]

KIND is `synthesizer`, `converter` or another of the models. SHARE is OTHER's, which was trained from ONE
(WiSE-FT; Wortsman et al., "Robust fine-tuning of zero-shot models", 2022). OUT keeps OTHER's account of its
training, and says what it is a mean of.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from voiceswap import checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind")
    for name in ("one", "other", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--share", type=float, default=0.5)
    args = parser.parse_args()
    one, other = (checkpoint.load(path, args.kind) for path in (args.one, args.other))
    theirs = other.state_dict()
    other.load_state_dict(
        {
            name: mine.lerp(theirs[name], args.share) if mine.is_floating_point() else theirs[name]
            for name, mine in one.state_dict().items()
        }
    )
    training = json.loads(checkpoint.read_header(args.other)["training"])
    mean = {"of": [one.weights_hash, other.weights_hash], "share": args.share}
    print(checkpoint.save(other, args.out, training={**training, "mean": mean}))


if __name__ == "__main__":
    main()
