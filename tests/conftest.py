"""Fixed seeds for every test, property tests included, and matplotlib without windows or leftovers."""

import os
import random
import tempfile

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import settings

matplotlib.use("Agg")
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")
os.environ["SIREN_FASTAI_CACHE"] = tempfile.mkdtemp(prefix="siren_fastai_tests_")  # not the user's


@pytest.fixture(autouse=True)
def seeds():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    yield
    plt.close("all")
