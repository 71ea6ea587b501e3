"""``python -m voiceswap`` is the command ``voiceswap``."""

import sys

from voiceswap.cli import main

sys.exit(main())
