# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""``python -m computelocator``."""

import sys

from computelocator.cli import main

sys.exit(main())
