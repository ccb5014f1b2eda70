"""Half the margin of two logits that are each other's negative is what binary cross-entropy trained."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "margins.py"


@pytest.mark.parametrize("rate", [0.5, 0.6, 0.79, 0.95])
def test_two_logits_trained_with_binary_cross_entropy_say_the_rate_with_half_their_margin(rate: float):
    read_as = runpy.run_path(str(SCRIPT))["read_as"]
    logits = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([1 - rate, rate], dtype=torch.float64)  # the mean of one-hot labels
    optimizer = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-15)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits(logits, labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    softmax = logits.detach().softmax(0).numpy()
    np.testing.assert_allclose(read_as(softmax, 0.5), [1 - rate, rate], atol=1e-6)
    np.testing.assert_allclose(softmax[1], rate**2 / (rate**2 + (1 - rate) ** 2), atol=1e-6)
    np.testing.assert_allclose(read_as(softmax, 1.0), softmax)
