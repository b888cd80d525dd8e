"""What holds for all tests: Triton's interpreter where there is no GPU, and no hurry for Hypothesis."""

from __future__ import annotations

import os

import torch
from hypothesis import settings

if not torch.cuda.is_available():  # Triton reads it when it is imported
    os.environ["TRITON_INTERPRET"] = "1"

# Whichever example comes first may compile what it calls.
settings.register_profile("compiled", deadline=None)
settings.load_profile("compiled")
