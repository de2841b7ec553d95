"""``python -m mftkit.cli``: what launchers of several processes start."""

import sys

from mftkit.cli import main

sys.exit(main())
