"""Ecosystems that are optional: none is imported before it is used; a missing and an old one say how to install it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import augdrop as ad
from augdrop.adapters.extras import require

WITHOUT = """
import sys
import augdrop as ad
import augdrop.cli, augdrop.tokens

libraries = {
    "to_albumentations": "albumentations", "to_dali": "nvidia.dali", "to_datasets": "datasets", "to_kornia": "kornia",
    "to_lightning": "lightning", "to_ray": "ray", "to_timm": "timm", "to_transformers": "transformers",
    "to_webdataset": "webdataset",
}
optional = {*libraries.values(), "jax", "cupy", "cv2", "matplotlib", "skimage", "sklearn"}
print("early:", sorted(optional & set(sys.modules)))
for adapter, library in libraries.items():
    sys.modules[library] = None  # importing it now raises
    try:
        stage = getattr(ad, adapter)(ad.Cutout(8), *[[]] * (adapter == "to_transformers"))
        print(adapter, "made", type(stage))
    except ImportError as error:
        print(adapter, error)
"""


def test_nothing_is_imported_early_and_what_is_missing_is_named():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    early, *lines = done.stdout.splitlines()
    assert early == "early: []"
    for line in lines:
        adapter, _, said = line.partition(" ")
        extra = adapter.removeprefix("to_")
        if extra == "lightning":  # whoever has a module has imported it
            assert said.startswith("made")
        else:
            assert said.endswith(f"is not installed; run: pip install 'augdrop[{extra}]'"), line
    assert len(lines) == 9


def test_a_library_that_is_too_old():
    with pytest.raises(
        ad.AugDropError,
        match=r"numpy: got version .*; expected 999 or newer\. Run: pip install --upgrade 'augdrop\[x\]'",
    ):
        require("numpy", extra="x", least="999")
