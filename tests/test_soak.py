"""A few seconds of the soak test, which runs by hand for an hour: `python tests/soak.py`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).with_name("soak.py")


@pytest.mark.slow
def test_random_commands_with_random_signals_lose_nothing():
    command = [sys.executable, SOAK, "--minutes", "0.15", "--seed", "0"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failures" in done.stdout
