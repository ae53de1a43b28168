# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """Pages that real programs served, where they are beside the checkout."""
    root = Path(os.environ.get("COMPUTELOCATOR_SHARED", Path(__file__).parents[2].parent / "shared"))
    if not (root / "data" / "captures").is_dir():
        pytest.skip(f"no captures at {root}: set COMPUTELOCATOR_SHARED to where they are")
    return root
