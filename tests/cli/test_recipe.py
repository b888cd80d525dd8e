import pytest

import augdrop as ad
from augdrop.cli.recipe import build, from_options, parse, read_recipe
from augdrop.errors import AugDropError
from tests.cli.photos import apply, class_folders


def of(text):
    return build(parse(text, "recipe"), seed=5)


def test_one_method_by_name_or_with_options():
    assert isinstance(of("GridMask"), ad.GridMask)
    t = of("RandomErasing: {preset: torchvision, p: 0.25, area: [0.1, 0.2]}")
    assert t.arguments == ad.RandomErasing.preset("torchvision", p=0.25, area=[0.1, 0.2], seed=5).arguments
    assert t.seed == 5
    assert of("Cutout: {seed: 9}").seed == 9
    assert of("Cutout:").arguments == {"seed": 5}


def test_compositions_nest_and_members_follow_the_seed():
    t = of("compose: [{oneof: {weights: [1, 3], of: [Cutout, Identity]}}, {oneof: [GridMask, CutMix]}, Cutout]")
    assert isinstance(t, ad.Compose)
    assert [type(m).__name__ for m in t.members] == ["OneOf", "OneOf", "Cutout"]
    assert t.members[0].weights == [1, 3]
    assert t.mixes
    expected = ad.Compose(
        [ad.OneOf([ad.Cutout(), ad.Identity()], [1, 3]), ad.OneOf([ad.GridMask(), ad.CutMix()]), ad.Cutout()], seed=5
    )
    assert t.plan((4, 3, 64, 64), keys=range(4)) == expected.plan((4, 3, 64, 64), keys=range(4))


@pytest.mark.parametrize(
    ("text", "fill"),
    [
        ("7", ad.Constant(7)),
        ("[1, 2, 3]", ad.PerChannel((1, 2, 3))),
        ("mean", ad.ImageMean()),
        ("normal", ad.Noise("normal")),
        ("{noise: {per: channel, low: 10}}", ad.Noise(per="channel", low=10)),
        ("{normal: {std: 9}}", ad.Noise("normal", std=9)),
        ("{blur: {factor: 4}}", ad.Blur(4)),
        ("partner", ad.Partner()),
    ],
)
def test_fills(text, fill):
    assert of(f"GridMask: {{fill: {text}}}").fill == fill


def test_a_ramp():
    assert of("GridMask: {p: {ramp: {stop: 0.8, epochs: 240}}}").p == ad.Ramp(0.8, 240)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Cutuot", "Did you mean 'Cutout'"),
        ("Cutout: {lenght: 3}", "Did you mean 'length'"),
        ("Cutout: {preset: imagnet}", "Did you mean 'imagenet'"),
        ("Cutout: {fill: {nois: {}}}", "Did you mean 'noise'"),
        ("Cutout: {fill: {noise: {distributoin: normal}}}", "Did you mean 'distribution'"),
        ("Cutout: {fill: {blur: {factor: 0}}}", "factor"),
        ("oneof: {weight: [1], of: [Cutout]}", "Did you mean 'weights'"),
        ("oneof: {weights: [1, 2], of: [Cutout]}", "weights"),
        ("oneof: {weights: 3, of: [Cutout]}", "weights: got 3; expected a list of 1 numbers"),
        ("oneof: {weights: [a], of: [Cutout]}", "weights: got ['a']; expected a list of 1 numbers"),
        ("Cutout: {fill: {noise: {low: a}}}", "Noise: low: got 'a'; expected a finite number"),
        ("Cutout: {fill: {noise: {low: 9, high: 3}}}", "low <= high"),
        ("CutMix: {label_smoothing: 1.0}", "expected a share in [0, 1)"),
        ("compose: []", "a list of recipes"),
        ("compose: [Cutout, {GridMask: {ratio: 2}}]", "ratio"),
        ("{Cutout: {}, GridMask: {}}", "2 entries"),
        ("[Cutout]", "one method, compose or oneof"),
        ("", "one method, compose or oneof"),
        ("Cutout: 5", "its options"),
        ("CutMix: {targets: pairs}", "training loops"),
        ("GridMask: {p: {ramp: {stop: 0.8}}}", "p"),
        ("HideAndSeek: {grid_sizes: 5}", "grid_sizes"),
        ("compose: [Cutout", "plain YAML"),
    ],
)
def test_errors_name_what_is_wrong(text, said):
    with pytest.raises(AugDropError) as error:
        of(text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_yaml_builds_plain_values_only(tmp_path, capsys):
    trap = tmp_path / "trap"
    for text in (
        f"!!python/object/apply:os.mkdir ['{trap}']",
        f"Cutout: {{fill: !!python/object/apply:os.mkdir ['{trap}']}}",
    ):
        (tmp_path / "recipe.yaml").write_text(text)
        photos = tmp_path / "photos"
        if not photos.exists():
            class_folders(photos, each=1)
        assert apply(photos, tmp_path / "out", "--recipe", tmp_path / "recipe.yaml") == 2
        assert "python/object" in capsys.readouterr().err
    assert not trap.exists()


def test_files_of_both_kinds_and_no_file(tmp_path):
    (tmp_path / "r.json").write_text('{"compose": ["Cutout", {"GridMask": {"p": 0.5}}]}')
    (tmp_path / "r.yaml").write_text("compose:\n  - Cutout\n  - GridMask: {p: 0.5}\n")
    assert read_recipe(tmp_path / "r.json") == read_recipe(tmp_path / "r.yaml")
    for content in (b"\xff\xfe\x00", None):
        if content is not None:
            (tmp_path / "x.yaml").write_bytes(content)
        with pytest.raises(AugDropError, match=r"x\.yaml"):
            read_recipe(tmp_path / "x.yaml")
        (tmp_path / "x.yaml").unlink(missing_ok=True)
    (tmp_path / "bad.json").write_text("{'Cutout': 1}")
    with pytest.raises(AugDropError, match="plain JSON"):
        read_recipe(tmp_path / "bad.json")


def test_options_of_the_command_line_are_a_recipe():
    recipe = from_options("CutMix", "kornia", ["p=0.5", "minmax=[0.2, 0.4]"])
    assert recipe == {"CutMix": {"preset": "kornia", "p": 0.5, "minmax": [0.2, 0.4]}}
