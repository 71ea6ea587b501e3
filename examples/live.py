"""Convert while someone speaks; here a recording, in blocks of 20 ms, stands for the microphone.

python examples/live.py talk.mp3 tenor-1 talk-live.wav
"""

import sys

import soundfile

import voiceswap
from voiceswap.speech import SpeechWriter


def main(recording: str, voice: str, out: str) -> None:
    studio = voiceswap.load()
    rate = soundfile.info(recording).samplerate
    blocks = soundfile.blocks(recording, rate // 50, always_2d=True)
    one_channel = (block[:, 0] for block in blocks)
    with SpeechWriter(out) as writer:
        for piece in studio.stream_convert(one_channel, studio.voices[voice], sample_rate=rate):
            writer.write(piece)  # or play it


if __name__ == "__main__":
    main(*sys.argv[1:])
