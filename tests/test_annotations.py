import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augdrop import AugDropError, regions
from augdrop.annotations import ERASING, MIXING, Objects, Policy, erase, mix
from tests.helpers import Untouched, plan_of, random_mix, random_region

H, W, FINE = 9, 11, 4


def objects_of(rng, count, masks):
    """Objects whose boxes have edges at quarters of a pixel, in part off the canvas, some of them empty."""
    corners = np.sort(rng.integers(-2 * FINE, np.array([W + 2, H + 2]) * FINE, (count, 2, 2)), axis=1) / FINE
    return Objects(
        boxes=torch.from_numpy(corners.reshape(count, 4)).float(),
        masks=torch.from_numpy(rng.random((count, H, W)) < rng.random()) if masks else None,
        keypoints=torch.from_numpy(rng.uniform(-1, 12, (count, 3, 3))),
        segmentation=torch.from_numpy(rng.integers(0, 5, (H, W))),
        fields={"labels": torch.arange(count), "scores": torch.rand(count)},
    )


def cells_of(objects, k):
    """bool [H*FINE, W*FINE], where object k is: its instance mask, else its box."""
    if objects.masks is not None:
        return objects.masks[k].numpy().repeat(FINE, 0).repeat(FINE, 1)
    x0, y0, x1, y1 = (objects.boxes[k] * FINE).round().int().tolist()
    cells = np.zeros((H * FINE, W * FINE), bool)
    cells[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    return cells


def oracle(objects, dropped, policy, imported):
    """What is left of objects, (index, box) one by one, by counting cells of a quarter of a pixel."""
    seen_where = (dropped if imported else ~dropped).repeat(FINE, 0).repeat(FINE, 1)
    left = []
    for k, box in enumerate(objects.boxes.tolist()):
        cells = cells_of(objects, k)
        total, seen = cells.sum(), (cells & seen_where).sum()
        stays = seen > 0 and seen >= policy.min_visibility * total and seen >= policy.min_area * FINE**2
        stays = stays or seen == total
        if policy.by == "centre":
            x, y = int((box[0] + box[2]) // 2), int((box[1] + box[3]) // 2)
            inside = 0 <= x < W and 0 <= y < H and dropped[y, x]
            stays = inside == imported
        if policy.boxes == "keep":
            stays = True
        if imported:
            stays = stays and seen > 0
        if (imported or policy.boxes == "shrink") and 0 < seen < total:
            ys, xs = np.nonzero(cells & seen_where)
            box = [xs.min() / FINE, ys.min() / FINE, (xs.max() + 1) / FINE, (ys.max() + 1) / FINE]
        if stays:
            left.append((k, box))
    return left


policies = st.builds(
    Policy,
    boxes=st.sampled_from(["keep", "filter", "shrink"]),
    min_visibility=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    min_area=st.sampled_from([0.0, 3.0, 20.0]),
    by=st.sampled_from(["area", "area", "centre"]),
    masks=st.sampled_from(["keep", "fill", "cut"]),
    mask_fill=st.sampled_from([0, 255]),
    keypoints=st.sampled_from(["keep", "flag", "remove"]),
)


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32), policy=policies, masks=st.booleans())
def test_erasing_against_counted_cells(seed, policy, masks):
    rng = np.random.default_rng(seed)
    n = 3
    samples = [objects_of(rng, int(rng.integers(0, 6)), masks) for _ in range(n)]
    plan = plan_of(random_region(rng, n, (H, W)), hit=torch.from_numpy(rng.random(n) < 0.8))
    with Untouched([dataclasses.asdict(s) for s in samples]):
        results = erase(samples, plan, policy)
    for b, (before, after) in enumerate(zip(samples, results, strict=True)):
        if not plan.hit[b]:
            assert all(getattr(after, part) is getattr(before, part) for part in ("boxes", "masks", "segmentation"))
            continue
        dropped = plan.mask()[b].numpy()
        expected = oracle(before, dropped, policy, imported=False)
        index = [k for k, _ in expected]
        assert after.fields["labels"].tolist() == index
        assert torch.equal(after.fields["scores"], before.fields["scores"][index])
        assert after.boxes.tolist() == [box for _, box in expected]
        if masks:
            cut = before.masks[index] & torch.from_numpy(~dropped) if policy.masks == "cut" else before.masks[index]
            assert torch.equal(after.masks, cut)
        filled = np.where(dropped & (policy.masks != "keep"), policy.mask_fill, before.segmentation)
        assert np.array_equal(after.segmentation, filled)
        check_points(before.keypoints[index], after.keypoints, after.keypoints_visible, dropped, False, policy)


def check_points(before, after, flags, dropped, imported, policy):
    for old, new, flag in zip(
        before.reshape(-1, 3).tolist(),
        after.reshape(-1, 3).tolist(),
        [None] * before[..., 0].numel() if flags is None else flags.flatten().tolist(),
        strict=True,
    ):
        x, y = int(np.floor(old[0])), int(np.floor(old[1]))
        hidden = bool(0 <= x < W and 0 <= y < H and dropped[y, x]) != imported
        if policy.keypoints == "keep":
            assert new == old
            assert flag is None
        elif policy.keypoints == "flag":
            assert new == [*old[:2], 0 if hidden else old[2]]
            assert flag == (not hidden and old[2] > 0)
        else:
            assert new == ([0, 0, 0] if hidden else old)


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32), policy=policies, masks=st.booleans(), elsewhere=st.booleans())
def test_mixing_against_counted_cells(seed, policy, masks, elsewhere):
    rng = np.random.default_rng(seed)
    n = 3
    samples = [objects_of(rng, int(rng.integers(0, 6)), masks) for _ in range(n)]
    others = [objects_of(rng, int(rng.integers(0, 6)), masks) for _ in range(n)] if elsewhere else None
    plan = random_mix(rng, n, (H, W))
    results = mix(samples, plan, policy, others)
    for b, (own, after) in enumerate(zip(samples, results, strict=True)):
        if not plan.hit[b]:
            assert all(getattr(after, part) is getattr(own, part) for part in ("boxes", "masks", "segmentation"))
            continue
        partner = (others or samples)[int(plan.partner[b])]
        dropped = plan.mask()[b].numpy()
        stay = oracle(own, dropped, policy, imported=False)
        come = oracle(partner, dropped, policy, imported=True)
        kept, came = [k for k, _ in stay], [k for k, _ in come]
        assert after.fields["labels"].tolist() == kept + came
        assert after.boxes.tolist() == [box for _, box in stay + come]
        assert np.array_equal(after.segmentation, np.where(dropped, partner.segmentation, own.segmentation))
        if masks:
            inside = torch.from_numpy(dropped)
            assert torch.equal(after.masks, torch.cat([own.masks[kept] & ~inside, partner.masks[came] & inside]))
        m, flags = len(kept), after.keypoints_visible
        parts = (slice(0, m), slice(m, None))
        for part, points, imported in zip(parts, (own.keypoints[kept], partner.keypoints[came]), (0, 1), strict=True):
            check_points(
                points, after.keypoints[part], None if flags is None else flags[part], dropped, bool(imported), policy
            )


def one(box, **parts):
    """A plan that drops one box (y0, x0, y1, x1) of one sample of H by W."""
    return plan_of(regions.Boxes((H, W), torch.tensor([[box]])), **parts)


def test_a_share_exactly_at_the_threshold_stays():
    objects = Objects(boxes=torch.tensor([[0.0, 0.0, 4.0, 4.0]]))
    for threshold, count in ((0.75, 1), (0.76, 0)):
        policy = Policy(boxes="filter", min_visibility=threshold)
        assert erase([objects], one((0, 0, 2, 2)), policy)[0].count == count


def test_fractional_edges_count_exactly():
    objects = Objects(boxes=torch.tensor([[0.5, 0.5, 2.3, 2.5]], dtype=torch.float64))
    visible = 1 - (1.5 * 1.5) / (1.8 * 2)
    for threshold, count in ((visible - 1e-4, 1), (visible + 1e-4, 0)):
        policy = Policy(boxes="filter", min_visibility=threshold)
        assert erase([objects], one((0, 0, 2, 2)), policy)[0].count == count


def test_a_rectangular_paste_clips_boxes_to_the_intersection_bit_for_bit():
    own = Objects(boxes=torch.zeros(0, 4))
    other = Objects(boxes=torch.tensor([[1.3, 2.7, 6.1, 8.2], [4.2, 4.4, 4.9, 5.1], [0.0, 0.0, 1.0, 1.0]]))
    result = mix([own, other], plan_pair((3, 2, 7, 6)), MIXING)[0]
    assert result.boxes.tolist() == torch.tensor([[2.0, 3.0, 6.0, 7.0], [4.2, 4.4, 4.9, 5.1]]).tolist()


def plan_pair(box, **parts):
    boxes = torch.tensor([[box], [box]])
    return plan_of(regions.Boxes((H, W), boxes), partner=torch.tensor([1, 0]), hit=torch.tensor([True, False]), **parts)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.int64, torch.int32])
def test_boxes_keep_their_dtype(dtype):
    boxes = torch.tensor([[1, 1, 5, 5]], dtype=dtype)
    result = mix([Objects(boxes=boxes), Objects(boxes=boxes)], plan_pair((2, 2, 9, 4)))[0]
    assert result.boxes.dtype == dtype
    assert result.boxes.tolist() == [[1, 1, 5, 5], [2, 2, 4, 5]]


def test_flagged_objects_stay_with_their_flag_in_every_sample():
    policy = Policy(boxes="filter", removed="flag", min_visibility=0.5)
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [4.0, 0.0, 6.0, 2.0], [7.0, 7.0, 8.0, 8.0]])
    first, second = mix([Objects(boxes=boxes), Objects(boxes=boxes)], plan_pair((0, 0, 2, 5)), policy)
    # Of the partner's, the second is there in half, and the third not at all.
    assert first.visible.tolist() == [False, True, True, True, True]
    assert first.boxes[-1].tolist() == [4, 0, 5, 2]
    assert second.visible.tolist() == [True, True, True]
    half = dataclasses.replace(policy, min_visibility=0.6)
    assert mix([Objects(boxes=boxes)] * 2, plan_pair((0, 0, 2, 5)), half)[0].visible.tolist() == [
        *(False, False, True),
        *(True, False),
    ]


def test_flags_of_an_earlier_transform_hold():
    points = torch.tensor([[1.0, 1.0], [5.0, 5.0], [8.0, 8.0]])
    once = erase([Objects(keypoints=points)], one((0, 0, 2, 2)))[0]
    twice = erase([once], one((4, 4, 6, 6)))[0]
    assert once.keypoints_visible.tolist() == [False, True, True]
    assert twice.keypoints_visible.tolist() == [False, False, True]
    assert torch.equal(twice.keypoints, points)


def test_loose_points_go_and_come_one_by_one():
    points = torch.tensor([[1.0, 1.0], [5.0, 5.0], [float("nan"), 0.0], [-3.0, 2.0]])
    policy = Policy(keypoints="remove")
    left = erase([Objects(keypoints=points)], one((0, 0, 2, 2)), policy)[0].keypoints
    assert torch.equal(left.nan_to_num(-7), points[1:].nan_to_num(-7))
    pair = [Objects(keypoints=points), Objects(keypoints=points)]
    assert mix(pair, plan_pair((0, 0, 2, 2)), policy)[0].keypoints[-1].tolist() == [1, 1]
    assert len(mix(pair, plan_pair((0, 0, 2, 2)), policy)[0].keypoints) == 4
    assert len(mix(pair, plan_pair((0, 0, 2, 2)), Policy(keypoints="keep"))[0].keypoints) == 5
    flagged = mix(pair, plan_pair((0, 0, 2, 2)))[0]
    assert flagged.keypoints_visible.tolist() == [False, True, True, True, True, False, False, False]


def test_skeletons_without_boxes_are_judged_by_their_points():
    skeletons = torch.tensor([[[1.0, 1.0], [1.5, 1.5]], [[1.0, 1.0], [8.0, 8.0]]])
    objects = Objects(keypoints=skeletons, fields={"labels": torch.tensor([3, 4])})
    policy = Policy(boxes="filter", min_area=100)
    assert erase([objects], one((0, 0, 2, 2)), policy)[0].fields["labels"].tolist() == [4]
    mixed = mix([objects, objects], plan_pair((7, 7, 9, 9)), policy)[0]
    assert mixed.fields["labels"].tolist() == [3, 4, 4]
    assert mixed.keypoints_visible.tolist() == [[True, True], [True, False], [False, True]]


def test_mixup_keeps_the_objects_of_both():
    rng = np.random.default_rng(3)
    first, second = (
        dataclasses.replace(objects_of(rng, 4, True), segmentation=None, boxes=torch.tensor([[1.0, 1, 5, 5]] * 4))
        for _ in range(2)
    )
    first, second = (dataclasses.replace(o, masks=torch.ones(4, H, W, dtype=torch.bool)) for o in (first, second))
    plan = plan_pair((0, 0, H, W), opacity=torch.tensor([0.3, 0.3], dtype=torch.float64))
    result = mix([first, second], plan)[0]
    assert torch.equal(result.boxes, torch.cat([first.boxes, second.boxes]))
    assert torch.equal(result.masks, torch.cat([first.masks, second.masks]))
    assert result.fields["labels"].tolist() == [0, 1, 2, 3] * 2
    assert torch.equal(result.keypoints[:4], first.keypoints)


def test_a_semantic_mask_cannot_be_blended():
    samples = [Objects(segmentation=torch.zeros(H, W, dtype=torch.uint8))] * 2
    opaque = plan_pair((0, 0, H, W), opacity=torch.ones(2, dtype=torch.float64))
    assert mix(samples, opaque)[0].segmentation.dtype == torch.uint8
    blend = plan_pair((0, 0, H, W), opacity=torch.full((2,), 0.5, dtype=torch.float64))
    with pytest.raises(AugDropError, match=r"segmentation mask: got a blend .* Use CutMix"):
        mix(samples, blend)


def test_defaults():
    assert (ERASING.boxes, ERASING.masks, ERASING.keypoints) == ("keep", "keep", "flag")
    assert (MIXING.boxes, MIXING.min_visibility, MIXING.removed) == ("filter", 0.1, "remove")


def box(*corners):
    return Objects(boxes=torch.tensor([[1.0, 1.0, 2.0, 2.0], list(corners)]))


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        (box(3.0, 1, 2, 5), r"sample 0: boxes: got box 1 = \[3.0, 1.0, 2.0, 5.0\]"),
        (box(1.0, 4, 2, 3), "box 1"),
        (box(1.0, 1, float("nan"), 3), "box 1"),
        (box(1.0, 1, float("inf"), 3), "box 1"),
        (Objects(boxes=torch.zeros(3, 5)), r"\(3, 5\); expected \[K, 4\]"),
        (Objects(masks=torch.zeros(2, 5, 5)), r"instance masks: got \(2, 5, 5\)"),
        (Objects(masks=torch.zeros(H, W)), r"instance masks: got \(9, 11\)"),
        (Objects(segmentation=torch.zeros(5, 5)), r"segmentation mask: got \(5, 5\)"),
        (Objects(keypoints=torch.zeros(3, 4)), r"keypoints: got \(3, 4\)"),
        (Objects(keypoints=torch.zeros(3)), r"keypoints: got \(3,\)"),
        (Objects(boxes=torch.zeros(2, 4), masks=torch.zeros(3, H, W)), "got 2 boxes, 3 masks"),
        (Objects(boxes=torch.zeros(2, 4), fields={"ids": torch.zeros(1)}), "got 2 boxes, 1 ids"),
    ],
)
def test_bad_annotations(objects, message):
    with Untouched(dataclasses.asdict(objects)), pytest.raises(AugDropError, match=message):
        erase([objects], one((0, 0, 2, 2)))


def test_parts_that_partners_lack():
    boxes = torch.zeros(1, 4)
    for other in (
        Objects(),
        Objects(boxes=boxes, fields={"ids": torch.zeros(1)}),
        Objects(boxes=boxes, masks=torch.zeros(1, H, W)),
    ):
        with pytest.raises(AugDropError, match=r"annotations of sample 1: .* the same parts"):
            mix([Objects(boxes=boxes), other], plan_pair((0, 0, 2, 2)))


def test_other_bad_calls():
    with pytest.raises(AugDropError, match="2 samples; expected one for each of 1"):
        erase([Objects(), Objects()], one((0, 0, 2, 2)))
    with pytest.raises(AugDropError, match="a plan without partners"):
        mix([Objects()], one((0, 0, 2, 2)))
    with pytest.raises(AugDropError, match="Use keypoints='flag'"):
        erase([Objects(keypoints=torch.zeros(2, 3, 2))], one((0, 0, 2, 2)), Policy(keypoints="remove"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"boxes": "fliter"}, "Did you mean 'filter'"),
        ({"by": "center"}, "Did you mean 'centre'"),
        ({"removed": True}, "Policy: removed"),
        ({"min_visibility": 1.5}, r"a share in \[0, 1\]"),
        ({"min_visibility": float("nan")}, "min_visibility"),
        ({"min_area": -1}, "Policy: min_area"),
        ({"min_area": "b"}, "Policy: min_area"),
        ({"min_visibility": "a"}, "min_visibility"),
        ({"mask_fill": 1.5}, "mask_fill: got 1.5; expected a class"),
    ],
)
def test_bad_policies(options, message):
    with pytest.raises(AugDropError, match=message):
        Policy(**options)


@pytest.mark.parametrize("fill", [-1, 256])
def test_a_class_that_a_mask_cannot_hold_is_refused(fill):
    classes = Objects(segmentation=torch.zeros(H, W, dtype=torch.uint8))
    with pytest.raises(AugDropError, match="a class from 0 to 255"):
        erase([classes], one((0, 0, 2, 2)), Policy(masks="fill", mask_fill=fill))


def test_samples_without_annotations_among_others():
    left = erase([Objects(), Objects(boxes=torch.ones(1, 4))], plan_pair((0, 0, 2, 2)), Policy(boxes="filter"))
    assert left[0].count is None
    assert left[1].count == 1
