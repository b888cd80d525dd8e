import numpy as np
import pytest
import torch
from PIL import Image

import augdrop as ad
from augdrop import tokens
from augdrop.cli import token_preview
from augdrop.cli.outputs import key_for
from augdrop.tokens.registry import SELECTORS
from tests.cli.photos import FLOWER, augdrop, crop, pixels


@pytest.fixture
def flower(tmp_path):
    Image.fromarray(crop(FLOWER, 192, 256)).save(tmp_path / "flower.png")
    return tmp_path / "flower.png"


@pytest.mark.parametrize("name", SELECTORS)
def test_kept_patches_are_as_they_were_and_all_others_are_pale(name, flower):
    picture = Image.open(flower)
    selector = token_preview.selector_of(name, "", 3, (192, 256))
    shown, original = (np.asarray(p).astype(int) for p in (token_preview.faded(selector, picture, 5), picture))
    same = (shown == original).all(-1).reshape(12, 16, 16, 16).all((1, 3))
    pale = (shown.min(-1) > 180).reshape(12, 16, 16, 16).all((1, 3))
    grey = (np.ptp(shown, -1) < 8).reshape(12, 16, 16, 16).all((1, 3))
    assert (same ^ (pale & grey)).all()
    assert 0.05 < same.mean() < 0.95


def test_a_picture_is_of_its_key_and_of_what_the_method_selects(flower):
    picture = Image.open(flower)
    key = key_for("0", 1)
    mask = tokens.MAE(seed=3, grid=(12, 16))(torch.zeros(1, 192, 1), keys=[key], epoch=0).mask("kept").view(12, 16)
    grid = ad.GridMask((48, 96), seed=3).plan((1, 3, 192, 256), keys=[key], epoch=0).tokens(16).view(12, 16)
    for name, kept in (("MAE", mask), ("RegionKeep", ~grid)):
        shown = np.asarray(token_preview.faded(token_preview.selector_of(name, "", 3, (192, 256)), picture, key))
        same = (shown == np.asarray(picture)).all(-1).reshape(12, 16, 16, 16).all((1, 3))
        assert np.array_equal(same, kept.numpy())


def test_scores_are_the_contrast_of_patches():
    half = np.full((64, 64, 3), 90, np.uint8)
    half[:, 32:, :] = np.random.default_rng(0).integers(0, 256, (64, 32, 3))
    for name in ("TokenDropping", "HPM"):
        selector = token_preview.selector_of(name, "", 0, (64, 64))
        kept = (np.asarray(token_preview.faded(selector, Image.fromarray(half), 7)) == half).all(-1)
        left, right = kept[:, :32].mean(), kept[:, 32:].mean()
        assert (left, right) == (0, 1) if name == "TokenDropping" else left > right


def test_a_sheet_of_all_methods_by_seed(flower, tmp_path, capsys):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert (
            augdrop("preview", flower, "--tokens", "--size", 128, "--seed", seed, "--out", tmp_path / f"{name}.png")
            == 0
        )
    assert f"{len(SELECTORS)} methods, 4 draws of 1 images" in capsys.readouterr().out
    a, b, c = (pixels(tmp_path / f"{name}.png") for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    picked = "PatchDropout:timm,VJEPA:long"
    assert augdrop("preview", flower, "--tokens", "--methods", picked, "--draws", 2, "--out", tmp_path / "d.png") == 0
    assert "2 methods, 2 draws" in capsys.readouterr().out


def test_errors(flower, tmp_path, capsys):
    for arguments, said in (
        (["--methods", "MEA"], "Did you mean 'MAE'"),
        (["--methods", "CutMix"], "a method"),
        (["--methods", "VJEPA:lng"], "Did you mean 'long'"),
        (["--size", "200"], "multiples of 32"),
    ):
        assert augdrop("preview", flower, "--tokens", *arguments, "--out", tmp_path / "x.png") == 2
        assert said in capsys.readouterr().err
