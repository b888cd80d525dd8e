"""Keys and epochs: how they travel, and that nothing else decides a drop."""

from __future__ import annotations

import copy
import multiprocessing
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Subset, random_split

import augdrop as ad

CUT = ad.Compose([ad.RandomErasing(p=0.8, seed=3), ad.GridMask((4, 9), p=0.5)], seed=9)
MIX = ad.CutMix(num_classes=4, seed=7)


def photo(index: int) -> torch.Tensor:
    return torch.randint(0, 256, (3, 24, 24), generator=torch.Generator().manual_seed(index), dtype=torch.uint8)


class Photos(Dataset):
    """Transforms each item, and says which epoch it was."""

    def __init__(self, transform=None):
        self.transform = transform

    def __len__(self):
        return 21

    def __getitem__(self, index):
        x = photo(index)
        return index, x if self.transform is None else self.transform(x)


class Pairs(Dataset):
    def __len__(self):
        return 21

    def __getitem__(self, index):
        return photo(index), index % 4


def test_keys_reach_a_transform_by_argument_context_and_sample():
    x, t = photo(0), ad.Cutout(8, seed=1)
    expected = t(x, keys=17, epoch=2)
    with ad.keys(17, epoch=2):
        assert torch.equal(t(x), expected)
        assert torch.equal(t(x, keys=18), t(x, keys=18, epoch=0)), "an argument wins over the context, epoch included"
    assert torch.equal(t({"image": x, "key": 17}, epoch=2)["image"], expected)
    t.set_epoch(2)
    assert torch.equal(t(x, keys=17), expected)


def test_copies_have_an_epoch_of_their_own_that_workers_see():
    t = ad.Cutout(8, seed=1)
    t.set_epoch(3)
    for again in (copy.deepcopy(t), pickle.loads(pickle.dumps(t))):
        assert again._epoch.is_shared()
        assert again.plan((2, 3, 24, 24)).epochs.tolist() == [3, 3]
        again.set_epoch(5)
        assert again.plan((2, 3, 24, 24)).epochs.tolist() == [5, 5]
        assert t.plan((2, 3, 24, 24)).epochs.tolist() == [3, 3]


def test_the_context_ends_with_its_block():
    t = ad.Cutout(8, seed=1)
    with pytest.raises(RuntimeError), ad.keys(3):
        raise RuntimeError
    with ad.keys([1, 2]), pytest.raises(ad.AugDropError, match="one for each of 1"):
        t(photo(0))


@pytest.mark.parametrize(("workers", "context"), [(0, None), (1, "fork"), (2, "fork"), (2, "spawn")])
def test_a_loader_gives_every_item_its_own_drop(workers, context):
    torch.ones(1 << 20).add_(1)  # the parent has used its threads before it forks
    CUT(torch.zeros(64, 3, 128, 128))
    expected = {i: CUT(photo(i), keys=i, epoch=4) for i in range(21)}
    dataset = ad.keyed(Photos(CUT))
    dataset.set_epoch(4)
    for batch_size, shuffle in [(1, False), (4, True), (21, True)] if context != "spawn" else [(4, True)]:
        loader = DataLoader(
            dataset,
            batch_size,
            shuffle=shuffle,
            num_workers=workers,
            multiprocessing_context=context,
        )
        seen = {int(i): x for ids, batch in loader for i, x in zip(ids, batch, strict=True)}
        assert seen.keys() == expected.keys()
        assert all(torch.equal(seen[i], expected[i]) for i in seen)


def test_persistent_workers_see_a_new_epoch():
    dataset = ad.keyed(Photos(CUT))
    loader = DataLoader(dataset, 7, num_workers=2, persistent_workers=True, multiprocessing_context="fork")
    for epoch in (0, 1):
        dataset.set_epoch(epoch)
        for ids, batch in loader:
            for i, x in zip(ids.tolist(), batch, strict=True):
                assert torch.equal(x, CUT(photo(i), keys=i, epoch=epoch))


def test_parts_keep_their_keys_in_whatever_order_they_come():
    dataset = ad.keyed(Photos(CUT))
    dataset.set_epoch(4)
    parts = [Subset(dataset, [20, 3, 8]), *random_split(dataset, [15, 6])]
    ranks = [DistributedSampler(dataset, num_replicas=2, rank=rank, seed=1) for rank in range(2)]
    loaders = [DataLoader(part, 2) for part in parts] + [DataLoader(dataset, 4, sampler=rank) for rank in ranks]
    loaders.append(DataLoader(dataset, 2, shuffle=True, num_workers=2, in_order=False))
    for loader in loaders:
        for ids, batch in loader:
            for i, x in zip(ids.tolist(), batch, strict=True):
                assert torch.equal(x, CUT(photo(i), keys=i, epoch=4))


@pytest.mark.parametrize("workers", [0, 2])
def test_mixes_in_collate_are_keyed(workers):
    dataset = ad.keyed(Pairs(), attach=True)
    loader = DataLoader(dataset, 7, num_workers=workers, collate_fn=ad.collate(MIX))
    for n, (x, y) in enumerate(loader):
        ids = range(7 * n, 7 * n + 7)
        expected = MIX(torch.stack([photo(i) for i in ids]), torch.tensor([i % 4 for i in ids]), keys=ids)
        assert torch.equal(x, expected[0]) and torch.equal(y, expected[1])


def test_mixing_with_the_whole_data_set_is_free_of_batches():
    dataset = ad.mixed(Pairs(), MIX)
    alone = [dataset[i] for i in range(21)]
    for batch_size in (1, 5):
        together = [pair for x, y in DataLoader(dataset, batch_size) for pair in zip(x, y, strict=True)]
        assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(alone, together, strict=True))
    partners = MIX.partner_keys(range(2000), 21)
    assert partners.min() >= 0 and partners.max() < 21
    assert not (MIX.partner_keys(range(21), 21) == torch.arange(21)).any()
    # 2000 draws of 21: each expects 95, with a standard deviation of 9.5.
    assert np.abs(np.bincount(partners, minlength=21) - 2000 / 21).max() < 45


def test_a_data_set_of_videos_mixes_each_frame_in_its_own_place():
    videos = [(torch.stack([photo(i + 3 * j) for j in range(4)]), i) for i in range(3)]
    mix = ad.CutMix(num_classes=3, per_frame=True, seed=2)
    for i, (own, _) in enumerate(videos):
        (partner,) = mix.partner_keys([i], 3).tolist()
        x, y = (torch.stack([own, videos[partner][0]]), torch.tensor([i, partner]))
        expected = mix(x[:1], y[:1], keys=[i], partners=(x[1:], y[1:]))
        video, target = ad.mixed(videos, mix)[i]
        assert torch.equal(video, expected[0][0]) and torch.equal(target, expected[1][0])
        assert not torch.equal((video[0] != own[0]).any(0), (video[1] != own[1]).any(0))


def test_a_transforms_own_epoch_counts_until_the_data_set_is_told_one():
    cut = ad.Cutout(8, seed=0)
    data, batches = ad.keyed(Photos(cut)), ad.keyed(Pairs(), attach=True)
    for told in (None, 5):
        for each in (data, batches) if told is not None else ():
            each.set_epoch(told)
        for own in (0, 3):
            cut.set_epoch(own)
            epoch = own if told is None else told
            assert torch.equal(data[2][1], cut(photo(2), keys=2, epoch=epoch))
            x, _ = ad.collate(cut)([batches[2], batches[4]])
            assert torch.equal(x, cut(torch.stack([photo(2), photo(4)]), keys=[2, 4], epoch=epoch))


def test_a_stream_is_not_taken_for_a_data_set_with_indices():
    class Stream(torch.utils.data.IterableDataset):
        def __len__(self):
            return 3

        def __iter__(self):
            return iter(())

    with pytest.raises(ad.AugDropError, match="got Stream; expected a data set with indices"):
        ad.keyed(Stream())


def test_mixing_with_the_whole_data_set_ends_where_it_ends():
    dataset = ad.mixed(Pairs(), MIX)
    assert len(list(dataset)) == 21 and torch.equal(dataset[-1][0], dataset[20][0])
    with pytest.raises(IndexError):
        dataset[21]


def test_a_choice_mixes_with_the_whole_data_set_and_what_it_erases_keeps_its_label():
    members = [ad.CutMix(num_classes=4), ad.RandomErasing(p=1.0, fill=0)]
    for weights in ([1, 0], [0, 1], [1, 1]):
        chosen = ad.mixed(Pairs(), ad.OneOf(members, weights, seed=7))
        for i in range(21):
            x, own = Pairs()[i]
            image, target = chosen[i]
            changed = (image != x).any(0).float().mean()
            assert image.shape == x.shape and target.sum() == 1 and (weights[1] == 1 or target[own] >= 1 - changed)
            if weights[0] == 0:
                assert target[own] == 1 and changed > 0
    with pytest.raises(ad.AugDropError, match="got a Compose; expected one method, or a OneOf"):
        ad.mixed(Pairs(), ad.Compose([ad.CutMix(num_classes=4), ad.Cutout(4)]))[0]


@pytest.mark.parametrize("item", [{"image": photo(0), "label": 1}, (photo(0).numpy(), 1), photo(0)])
def test_mixed_says_what_items_it_takes(item):
    with pytest.raises(ad.AugDropError, match=r"item 0: .* expected an image tensor and its label"):
        ad.mixed([item], MIX)[0]


def test_collate_takes_dict_samples_as_a_list():
    samples = [{"image": photo(i), "boxes": torch.tensor([[2.0, 2, 20, 20]])} for i in range(4)]
    mix = ad.CutMix(seed=1)
    (batch,) = DataLoader(ad.keyed(samples, attach=True), 4, collate_fn=ad.collate(mix, list))
    expected = mix(samples, keys=range(4))
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(batch, expected, strict=True))
    assert all(torch.equal(a["boxes"], b["boxes"]) for a, b in zip(batch, expected, strict=True))


def test_pickled_transforms_keep_their_seed_in_a_spawned_process():
    t = ad.Cutout(8)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert torch.equal(pool.apply(t, (photo(1),), {"keys": 5}), t(photo(1), keys=5))


def test_key_of_names():
    keys = {ad.key_of(f"class/{i}.jpg") for i in range(10_000)}
    assert len(keys) == 10_000 and all(0 <= k < 2**63 for k in keys)


@pytest.mark.parametrize("epoch", [[-2], np.array([1 << 32]), torch.tensor([-7]), -2, 1 << 32])
def test_epochs_beyond_their_range_are_refused(epoch):
    for x in (photo(0), photo(0)[None]):
        with pytest.raises(ad.AugDropError, match=r"epoch: got (-2|-7|4294967296)"):
            ad.Cutout(4)(x, keys=[1], epoch=epoch)


@pytest.mark.parametrize("ids", [[1.5], [[1]], [1, 2], "a", None])
def test_bad_keys(ids):
    if ids is None:
        with pytest.raises(ad.AugDropError, match="epoch"):
            ad.Cutout(4)(photo(0), keys=1, epoch=1.5)
    else:
        with pytest.raises(ad.AugDropError):
            ad.Cutout(4)(photo(0), keys=ids)


@pytest.mark.parametrize("ids", [torch.arange(4), np.arange(4)], ids=["tensor", "array"])
def test_a_plan_does_not_follow_keys_that_are_written_over(ids):
    t, x = ad.RandomErasing(p=1.0, seed=0), torch.zeros(4, 3, 16, 16)
    plan, kept = t.plan(x.shape, keys=ids), t.plan(x.shape, keys=range(4))
    ids += 4
    assert torch.equal(t.apply(x, plan), t.apply(x, kept)) and plan == kept
