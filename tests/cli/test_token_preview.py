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


STILL = [name for name in SELECTORS if name in token_preview.DRAWN and name not in ("Tube", "VJEPA")]


def view(name, picture, key=5, seed=3, progress=1.0):
    method = token_preview.method_of(name, "", seed, picture.size[::-1])
    return np.asarray(token_preview.drawn(method, picture, key, progress)).astype(int)


def cells(pixels):
    """What holds of all pixels of each patch: bool ``[h, w]``."""
    h, w = pixels.shape
    return pixels.reshape(h // 16, 16, w // 16, 16).all((1, 3))


def is_pale(shown):
    return cells((shown.min(-1) > 180) & (np.ptp(shown, -1) < 8))


@pytest.mark.parametrize("name", [*STILL, "DynamicViT"])
def test_kept_patches_are_as_they_were_and_all_others_are_pale(name, flower):
    picture = Image.open(flower)
    shown = view(name, picture)
    same = cells((shown == np.asarray(picture)).all(-1))
    assert (same ^ is_pale(shown)).all()
    assert 0.05 < same.mean() < 0.95


def test_reducers_go_on_from_layer_to_layer(flower):
    picture = Image.open(flower)
    for name, left in (("DynamicViT", (134, 94, 65)), ("EViT", (136, 97, 69)), ("ToMe", (140, 88, 36))):
        for stage, count in enumerate(left, start=1):
            shown = view(name, picture, progress=stage / 3)
            groups = np.unique(shown.reshape(12, 16, 16, 16, 3).swapaxes(1, 2).reshape(192, -1), axis=0)
            if name == "DynamicViT":
                assert cells((shown == np.asarray(picture)).all(-1)).sum() == count
            else:  # each merged group has one colour, and what is alone is as it was
                assert len(groups) == count


def test_the_mean_of_a_group_is_its_colour():
    left = np.zeros((64, 64, 3), np.uint8)
    left[:, :, 0] = np.repeat(np.arange(4), 16) * 10 + np.arange(64)[:, None] // 16 * 2
    shown = view("ToMe", Image.fromarray(left), progress=0.1)
    # Two of twelve layers merge eight patches, then four, of the sixteen; sums of colours stay.
    assert shown.mean() == pytest.approx(left.mean(), abs=0.2)
    assert len(np.unique(shown[..., 0])) == 4


def test_clips_are_four_frames(flower):
    picture = Image.open(flower)
    tube, evad = view("Tube", picture), view("EVAD", picture)
    pale = [frame.min(-1) > 180 for frame in (tube[:95, :127], tube[:95, 129:], tube[97:, :127], tube[97:, 129:])]
    assert 0.8 < pale[0].mean() < 1
    assert all((frame == pale[0]).mean() > 0.97 for frame in pale)
    frames = [Image.fromarray(np.roll(np.asarray(picture), 16 * step, 1)) for step in (0, 2)]
    first, key = (np.asarray(frame.resize((127, 95), Image.Resampling.BOX)) for frame in frames)
    assert np.array_equal(evad[97:, :127], key)
    assert not np.array_equal(evad[:95, :127], first)


def test_micdrop_shows_depth_where_the_image_is_masked(flower):
    picture = Image.open(flower)
    shown = view("MICDrop", picture)
    same = cells((shown == np.asarray(picture)).all(-1))
    masked, _ = tokens.MICDrop(seed=3).mask(1, (12, 16), keys=[5])
    assert np.array_equal(same, ~masked[0].numpy())
    assert (shown[..., 2] > shown[..., 0])[np.kron(~same, np.ones((16, 16), bool))].all()


def test_a_picture_is_of_its_key_and_of_what_the_method_selects(flower):
    picture = Image.open(flower)
    key = key_for("0", 1)
    mask = tokens.MAE(seed=3, grid=(12, 16))(torch.zeros(1, 192, 1), keys=[key], epoch=0).mask("kept").view(12, 16)
    grid = ad.GridMask((48, 96), seed=3).plan((1, 3, 192, 256), keys=[key], epoch=0).tokens(16).view(12, 16)
    for name, kept in (("MAE", mask), ("RegionKeep", ~grid)):
        same = cells((view(name, picture, key) == np.asarray(picture)).all(-1))
        assert np.array_equal(same, kept.numpy())


def test_scores_are_the_contrast_of_patches():
    half = np.full((64, 64, 3), 90, np.uint8)
    half[:, 32:, :] = np.random.default_rng(0).integers(0, 256, (64, 32, 3))
    kept = (view("HPM", Image.fromarray(half), 7, seed=0) == half).all(-1)
    assert kept[:, :32].mean() > kept[:, 32:].mean()


def test_a_sheet_of_all_methods_by_seed(flower, tmp_path, capsys):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert (
            augdrop("preview", flower, "--tokens", "--size", 128, "--seed", seed, "--out", tmp_path / f"{name}.png")
            == 0
        )
    said = capsys.readouterr().out
    assert f"{len(token_preview.DRAWN)} methods, 4 draws of 1 images" in said
    assert all(f"not drawn: {name}: " in said for name in tokens.registry.METHODS if name not in token_preview.DRAWN)
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
        (["--methods", "DropKey"], "DropKey has none: it changes attention"),
        (["--size", "200"], "multiples of 32"),
    ):
        assert augdrop("preview", flower, "--tokens", *arguments, "--out", tmp_path / "x.png") == 2
        assert said in capsys.readouterr().err
