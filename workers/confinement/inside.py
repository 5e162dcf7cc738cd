"""What bubblewrap starts, by its path and without anything of Python's own environment."""

import os
import sys

sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from workers.confinement.first import main

main()
