import numpy as np
import pytest
import torch

from augdrop import AugDropError, CutMix, labels, regions
from tests.helpers import Untouched, plan_of, random_mix

SIZE = (12, 14)


def half(partner=(1, 0), hit=(True, True)):
    """Two samples that swap their left halves."""
    boxes = torch.tensor([[[0, 0, 4, 2]]] * 2)
    return plan_of(regions.Boxes((4, 4), boxes), hit=torch.tensor(hit), partner=torch.tensor(partner))


def count(target, plan, classes):
    """The definition: each pixel votes for the class of the sample that it came from."""
    votes = np.zeros((len(target), classes))
    mask = plan.mask().numpy()
    for b in range(len(target)):
        for replaced in mask[b].ravel():
            votes[b, target[int(plan.partner[b])] if replaced else target[b]] += 1
    return votes / mask[0].size


def test_weights_are_counted_pixels_over_thousands_of_cases():
    rng = np.random.default_rng(0)
    for _ in range(400):
        n = int(rng.integers(2, 12))
        plan, target = random_mix(rng, n, SIZE), torch.from_numpy(rng.integers(0, 5, n))
        expected = torch.from_numpy(count(target.numpy(), plan, 5)).float()
        soft = labels.mix(target, plan, num_classes=5)
        assert soft.dtype == torch.float32
        torch.testing.assert_close(soft, expected, rtol=0, atol=1e-7)
        one_hot = torch.nn.functional.one_hot(target, 5)
        torch.testing.assert_close(labels.mix(one_hot, plan), expected, rtol=0, atol=1e-7)
        first, second, own = labels.mix(target, plan, form="pairs")
        assert first is target
        assert torch.equal(second, target.roll(-1))
        kept = 1 - plan.mask().flatten(1).double().mean(1)
        torch.testing.assert_close(own, kept.float(), rtol=0, atol=1e-7)


def test_the_weight_is_exact_where_the_pixels_are_a_binary_fraction():
    expected = torch.tensor([[0.5, 0.0, 0.5], [0.5, 0.0, 0.5]])
    assert torch.equal(labels.mix(torch.tensor([0, 2]), half(), num_classes=3), expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_indices_of_any_integer_dtype(dtype):
    assert labels.mix(torch.tensor([0, 2], dtype=dtype), half(), num_classes=3).tolist() == [[0.5, 0, 0.5]] * 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
        (torch.bool, torch.float32),
        (torch.int64, torch.float32),
    ],
)
def test_multi_hot_targets_of_any_dtype(given, expected):
    mixed = labels.mix(torch.tensor([[1, 1, 0], [0, 1, 1]]).to(given), half(), multi_label=True)
    assert mixed.dtype == expected
    assert mixed.tolist() == [[0.5, 1, 0.5], [0.5, 1, 0.5]]


def test_a_sample_that_is_not_hit_keeps_its_target_whatever_its_partner_has():
    target = torch.tensor([[0.25, 0.75], [float("nan"), 1.0]])
    mixed = labels.mix(target, half(hit=(False, True)))
    assert mixed[0].tolist() == [0.25, 0.75]
    assert mixed[1].isnan().tolist() == [True, False]


def test_weight_one_for_a_batch_of_one_and_for_what_is_erased():
    alone = plan_of(regions.Boxes((4, 4), torch.tensor([[[0, 0, 4, 2]]])), partner=torch.tensor([0]))
    erased = plan_of(alone.region)
    for plan in (alone, erased):
        assert labels.mix(torch.tensor([1]), plan, num_classes=2).tolist() == [[0.0, 1.0]]
    assert labels.mix(torch.tensor([1]), erased, form="pairs")[2].tolist() == [1.0]


def test_smoothing_is_timms():
    timm_mixup = pytest.importorskip("timm.data.mixup")
    target = torch.tensor([0, 2])
    expected = timm_mixup.mixup_target(target, 4, lam=0.5, smoothing=0.1)
    torch.testing.assert_close(labels.mix(target, half(), num_classes=4, smoothing=0.1), expected)
    one_hot = torch.nn.functional.one_hot(target, 4).float()
    torch.testing.assert_close(labels.mix(one_hot, half(), smoothing=0.1), expected)


def test_smoothing_of_multi_label_targets_goes_to_one_half():
    mixed = labels.mix(torch.tensor([[1.0, 0.0], [1.0, 1.0]]), half(), smoothing=0.2, multi_label=True)
    torch.testing.assert_close(mixed, torch.tensor([[0.9, 0.5], [0.9, 0.5]]))
    mixed = labels.mix(torch.tensor([0, 1]), half(), num_classes=3, smoothing=0.2, multi_label=True)
    torch.testing.assert_close(mixed, torch.tensor([[0.5, 0.5, 0.1]] * 2))


def test_opacity_weighs_the_pixels():
    everything = regions.Boxes((4, 4), torch.tensor([[[0, 0, 4, 4]], [[0, 0, 2, 4]]]))
    plan = plan_of(everything, partner=torch.tensor([1, 0]), opacity=torch.tensor([0.25, 0.5], dtype=torch.float64))
    assert labels.mix(torch.tensor([0, 1]), plan, num_classes=2).tolist() == [[0.75, 0.25], [0.25, 0.75]]


def test_partners_from_elsewhere():
    other = torch.tensor([2, 2, 1])
    plan = half(partner=(2, 0))
    expected = [[0.5, 0.5, 0.0], [0.5, 0.0, 0.5]]
    assert labels.mix(torch.tensor([0, 0]), plan, num_classes=3, other=other).tolist() == expected
    assert labels.mix(torch.tensor([0, 0]), plan, form="pairs", other=other)[1].tolist() == [1, 2]


def test_gradients_reach_soft_targets():
    target = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    labels.mix(target, half())[0, 0].backward()
    assert target.grad is not None
    assert target.grad.tolist() == [[0.5, 0.0], [0.5, 0.0]]


def test_an_empty_batch():
    plan = plan_of(regions.Boxes((4, 4), torch.zeros(0, 1, 4, dtype=torch.int64)), partner=torch.arange(0))
    assert labels.mix(torch.zeros(0, dtype=torch.int64), plan, num_classes=3).shape == (0, 3)


def test_shares_of_videos_are_means_over_their_frames():
    boxes = torch.tensor([[[0, 0, 4, 4]], [[0, 0, 0, 0]], [[0, 0, 4, 2]], [[0, 0, 4, 1]]])
    plan = plan_of(regions.Boxes((4, 4), boxes), partner=torch.tensor([2, 3, 0, 1]))
    shares = labels.over_frames(plan, 2)
    assert shares.lam.tolist() == [0.5, 0.625]
    assert shares.partner.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        (torch.tensor([0, 1, 2]), {"num_classes": 3}, r"got \(3,\); expected .* each of 2 samples"),
        (torch.tensor(1), {"num_classes": 3}, "each of 2 samples"),
        ([0, 1], {"num_classes": 3}, "got list"),
        (torch.tensor([0, 3]), {"num_classes": 3}, "class 3 at position 1; expected classes from 0 to 2"),
        (torch.tensor([-1, 2]), {"num_classes": 3}, "class -1 at position 0"),
        (torch.tensor([0.0, 1.0]), {"num_classes": 3}, r"float32 \(2,\); expected integer class indices"),
        (torch.tensor([True, False]), {"num_classes": 2}, "integer class indices"),
        (torch.zeros(2, 3, 4), {"num_classes": 3}, "integer class indices"),
        (torch.tensor([0, 1]), {}, "without num_classes"),
        (torch.eye(2), {"num_classes": 3}, r"targets \(2, 2\); expected 3 classes"),
        (
            torch.tensor([0, 1]),
            {"num_classes": 3, "smoothing": 1.0},
            r"smoothing: got 1.0; expected a number in \[0, 1\)",
        ),
        (torch.tensor([0, 1]), {"num_classes": 3, "smoothing": -0.1}, "smoothing"),
        (torch.tensor([0, 1]), {"form": "pairs", "smoothing": 0.1}, "Smooth in the loss"),
        (torch.tensor([0, 1]), {"form": "hard"}, "'soft' or 'pairs'"),
        (torch.tensor([0, 1]), {"num_classes": 3, "other": torch.eye(3)}, "labels of the partners"),
        (torch.tensor([0, 1]), {"num_classes": 3, "other": torch.tensor([0])}, "one for partner 1"),
        (torch.tensor([0, 1]), {"num_classes": 3, "other": torch.tensor([0, 7])}, "class 7 at position 1"),
    ],
)
def test_bad_targets(target, options, message):
    with Untouched(target, options), pytest.raises(AugDropError, match=message):
        labels.mix(target, half(), **options)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64], ids=str)
def test_indices_are_mixed_as_one_hot_targets_are(dtype):
    mix = CutMix(num_classes=5, seed=0)
    plan, y = mix.plan((32, 3, 16, 16), keys=range(32)), torch.randint(0, 5, (64,)).to(dtype)[::2]
    for options in ({}, {"smoothing": 0.1}, {"smoothing": 0.2, "multi_label": True}):
        soft = labels.mix(y, plan, num_classes=5, **options)
        expected = labels.mix(torch.nn.functional.one_hot(y.long(), 5), plan, **options)
        torch.testing.assert_close(soft, expected)
