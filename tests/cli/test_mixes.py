import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

import augdrop as ad
from augdrop.cli.recipe import build
from augdrop.fills import Partner
from augdrop.plans import Plans, plan_from_dict
from tests.cli.photos import FLOWER, apply, class_folders, contents, crop, pixels, records

SAME = ((48, 48),)


def test_cutmix_pastes_the_partner_that_the_manifest_names_with_the_labels_of_counted_pixels(tmp_path):
    photos = class_folders(tmp_path / "photos", each=5, sizes=SAME)
    assert apply(photos, tmp_path / "out", "--method", "CutMix", "--copies", 4) == 0
    mixed = set()
    for name, record in records(tmp_path / "out").items():
        plan, image = plan_from_dict(record["plan"]), pixels(tmp_path / "out" / name)
        own, mask = pixels(photos / record["source"]), plan.mask()[0].numpy()
        assert record["partner"] != record["source"]
        if record["partner"] is None:
            assert not mask.any()
            theirs, label = own, record["label"]
        else:
            theirs, label = pixels(photos / record["partner"]), record["partner"].split("/")[0]
        assert np.array_equal(image, np.where(mask[..., None], theirs, own))
        weights = dict.fromkeys((record["label"], label), 0.0)
        weights[record["label"]] += 1 - mask.sum() / mask.size
        weights[label] += mask.sum() / mask.size
        assert record["soft_label"] == pytest.approx({k: v for k, v in weights.items() if v}, abs=1e-12)
        mixed.add((record["source"], record["partner"]))
    assert len({partner for _, partner in mixed}) >= 8  # partners are from all over


def test_labels_csv_sums_to_one_for_each_output(tmp_path):
    photos = class_folders(tmp_path / "photos", sizes=SAME)
    apply(photos, tmp_path / "out", "--method", "Mixup", "--preset", "timm", "--copies", 3)
    sums = {}
    with open(tmp_path / "out" / "labels.csv", newline="") as file:
        for row in csv.DictReader(file):
            assert row["class"] in ("flower", "temple")
            sums[row["output"]] = sums.get(row["output"], 0) + float(row["weight"])
    assert sums == pytest.approx(dict.fromkeys(records(tmp_path / "out"), 1.0), abs=1e-9)
    # timm's preset smooths by 0.1: half of it, of two classes, is everywhere.
    soft = [record["soft_label"] for record in records(tmp_path / "out").values()]
    assert min(min(s.values()) for s in soft) == pytest.approx(0.05, abs=1e-3)


RECIPE = {
    "compose": [
        {"oneof": {"weights": [3, 1, 1], "of": ["CutMix", "Mixup", {"GridMask": {"preset": "small", "fill": "mean"}}]}},
        {"AttentiveCutMix": {"top_k": 12, "p": 0.7}},
        {"RandomErasing": {"p": 0.5, "area": [0.1, 0.2]}},
    ]
}


def test_a_composition_of_mixes_is_the_same_for_any_number_of_workers_and_labels_are_counted(tmp_path):
    photos = class_folders(tmp_path / "photos")
    (tmp_path / "recipe.json").write_text(json.dumps(RECIPE))
    run = ("--recipe", tmp_path / "recipe.json", "--size", 32, 40, "--copies", 10)
    assert apply(photos, tmp_path / "one", *run) == 0
    assert apply(photos, tmp_path / "two", *run, "--workers", 2) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    made = records(tmp_path / "one")
    both = 0
    for record in made.values():
        assert record["size"] == [32, 40]
        mixes = [p for p in leaves(plan_from_dict(record["plan"])) if isinstance(p.fill, Partner) and bool(p.hit)]
        both += len(mixes) == 2
        own = np.ones((32, 40))
        for p in mixes:
            opacity = 1.0 if p.opacity is None else float(p.opacity)
            own = np.where(p.mask()[0].numpy(), own * (1 - opacity), own)
        share = own.mean()
        if record["partner"] is None or record["partner"].startswith(record["label"]):
            assert record["soft_label"] == pytest.approx({record["label"]: 1.0})
        else:
            assert record["soft_label"].get(record["label"], 0.0) == pytest.approx(share)
            assert sum(record["soft_label"].values()) == pytest.approx(1)
    assert both > 5
    assert {m for r in made.values() for m in r["methods"]} == {
        "CutMix", "Mixup", "GridMask", "AttentiveCutMix", "RandomErasing"
    }  # fmt: skip


def leaves(plan):
    return [leaf for p in plan.plans for leaf in leaves(p)] if isinstance(plan, Plans) else [plan]


def test_images_of_several_sizes_need_size_and_the_error_says_so(tmp_path, capsys):
    photos = class_folders(tmp_path / "photos")
    assert apply(photos, tmp_path / "out", "--method", "CutMix") == 2
    err = capsys.readouterr().err
    assert "40×40" in err
    assert "--size" in err
    assert apply(photos, tmp_path / "out", "--method", "CutMix", "--size", 32) == 0
    assert {tuple(record["size"]) for record in records(tmp_path / "out").values()} == {(32, 32)}
    assert pixels(tmp_path / "out" / "flower" / "0.png").shape == (32, 32, 3)


def test_size_is_of_the_upright_image(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(crop(FLOWER, 40, 60)).save(photos / "a.png")
    lying = Image.fromarray(np.rot90(crop(FLOWER, 40, 60, at=9)).copy())
    exif = lying.getexif()
    exif[274] = 6
    lying.save(photos / "b.png", exif=exif)
    assert apply(photos, tmp_path / "out", "--method", "CutMix") == 0
    assert {tuple(record["size"]) for record in records(tmp_path / "out").values()} == {(40, 60)}


def test_partners_of_another_kind_are_turned_into_the_images_own(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    colour = crop(FLOWER, 32, 32)
    Image.fromarray(colour).save(photos / "colour.png")
    Image.fromarray(np.full((32, 32), 200, np.uint8)).save(photos / "grey.png")
    Image.fromarray(np.full((32, 32), 51400, np.uint16)).save(photos / "sixteen.png")
    assert apply(photos, tmp_path / "out", "--method", "CutMix", "--copies", 12) == 0
    seen = set()
    for name, record in records(tmp_path / "out").items():
        mask, image = plan_from_dict(record["plan"]).mask()[0].numpy(), pixels(tmp_path / "out" / name)
        if not mask.any():
            continue
        seen.add((record["source"], record["partner"]))
        grey = {"grey.png": 200, "sixteen.png": 200}.get(record["partner"])
        if record["source"] == "colour.png":
            assert (image[mask] == 200).all()
            assert np.array_equal(image[~mask], colour[~mask])
        elif record["source"] == "sixteen.png":
            assert image.max() > 255
            if grey:
                assert (image == 51400).all()
        elif grey:
            assert (image == 200).all()
        else:
            luma = colour @ np.array([0.299, 0.587, 0.114])
            assert np.abs(image.astype(float) - luma)[mask].max() <= 0.5
    assert len(seen) == 6


def test_a_mix_of_a_single_image_leaves_it_as_it_is(tmp_path):
    Image.fromarray(crop(FLOWER, 32, 32)).save(tmp_path / "one.png")
    assert apply(tmp_path / "one.png", tmp_path / "out", "--method", "CutMix") == 0
    assert np.array_equal(pixels(tmp_path / "out" / "one.png"), crop(FLOWER, 32, 32))


def test_an_unreadable_partner_skips_its_output_only(tmp_path, capsys):
    photos = class_folders(tmp_path / "photos", sizes=SAME)
    (photos / "temple" / "2.png").write_bytes(b"nothing to see")
    assert apply(photos, tmp_path / "out", "--method", "CutMix", "--copies", 4) == 1
    assert "temple/2.png" in capsys.readouterr().err
    made = records(tmp_path / "out").values()
    assert 12 <= len(made) < 20
    assert all(record["partner"] != "temple/2.png" for record in made)


def test_decisions_take_partners_from_elsewhere_in_compositions_too():
    t = build(RECIPE, seed=1)
    x, other = torch.zeros(1, 3, 32, 32, dtype=torch.uint8), torch.full((1, 3, 32, 32), 9, dtype=torch.uint8)
    hits = 0
    for key in range(20):
        plan = t.decide(x, t.draws(1, [key]), partners=other)
        hits += any(bool(p.hit) for p in leaves(plan) if isinstance(p.fill, Partner))
        lonely = t.decide(x, t.draws(1, [key]))
        assert not any(bool(p.hit) for p in leaves(lonely) if isinstance(p.fill, Partner))
    assert hits > 10


def test_attentive_cutmix_attends_to_the_partner_that_is_given():
    t = ad.AttentiveCutMix(top_k=1, grid=4, seed=0)
    x, other = torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)
    x[..., 2:14, 2:14] = torch.rand(12, 12)
    other[..., 50:62, 34:46] = torch.rand(12, 12)
    cells = t.decide(x, t.draws(1, [0]), partners=other).mask()[0]
    assert cells[56, 40]
    assert not cells[8, 8]


def test_a_bad_partner_is_met_only_by_those_who_get_pixels_of_it(tmp_path, capsys):
    photos = class_folders(tmp_path / "photos", each=3, sizes=SAME)
    (tmp_path / "recipe.json").write_text(json.dumps({"oneof": ["GridMask", "CutMix"]}))
    run = ("--recipe", tmp_path / "recipe.json", "--copies", 6)
    assert apply(photos, tmp_path / "whole", *run) == 0
    (photos / "flower" / "0.png").write_bytes(b"no image")
    assert apply(photos, tmp_path / "out", *run) == 1
    whole, left = records(tmp_path / "whole"), records(tmp_path / "out")
    lost = {name for name, r in whole.items() if "flower/0.png" in (r["source"], r["partner"])}
    assert set(left) == set(whole) - lost and {whole[name]["partner"] for name in lost} > {"flower/0.png"}
    assert all(left[name]["plan"] == whole[name]["plan"] for name in left)
