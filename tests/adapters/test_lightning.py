"""to_lightning with a real Trainer: every way to attach it, every stage, epochs and keys."""

import copy
import logging
import pickle

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch.utils.data import DataLoader

import augdrop as ad
from tests.adapters.cases import NAMES, make
from tests.transforms.cases import images, same

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning:lightning")

X, Y = images(8), torch.arange(8) % 5


class Net(LightningModule):
    """Notes every batch that a step gets, by stage."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 5)
        self.seen = {}

    def note(self, stage, batch):
        self.seen.setdefault(stage, []).append(batch)

    def training_step(self, batch, index):
        self.note("train", batch)
        x, y = batch if not isinstance(batch, dict) else (batch["image"], batch["labels"])
        return torch.nn.functional.cross_entropy(self.layer(x.float().mean((2, 3))), y)

    def validation_step(self, batch, index):
        self.note("sanity" if self.trainer.sanity_checking else "val", batch)

    def test_step(self, batch, index):
        self.note("test", batch)

    def predict_step(self, batch, index):
        self.note("predict", batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)


class Data(LightningDataModule):
    def __init__(self, dataset=None):
        super().__init__()
        self.dataset = list(zip(X, Y, strict=True)) if dataset is None else dataset

    def train_dataloader(self):
        return DataLoader(self.dataset, batch_size=4)

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader


class Doubled(Data):
    """With a hook of its own, which is to run first."""

    def on_after_batch_transfer(self, batch, dataloader_idx):
        return [batch[0] * 2, batch[1]]


def trainer(epochs=1, **options):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    return Trainer(max_epochs=epochs, enable_model_summary=False, **quiet, **options)


def keyed(dataset=None):
    return ad.keyed(list(zip(X, Y, strict=True)) if dataset is None else dataset, attach=True)


def check(seen, t, epochs=1):
    """The training batches are the core's, by index and epoch."""
    batches = iter(seen["train"])
    for epoch in range(epochs):
        for ids in (range(4), range(4, 8)):
            x, y = next(batches)
            expected = t(X[list(ids)], Y[list(ids)], keys=ids, epoch=epoch)
            assert same(x, expected[0]) and torch.equal(y, expected[1])
    assert next(batches, None) is None


@pytest.mark.parametrize("name", NAMES)
def test_every_method_is_the_core_by_keys_and_epoch(name):
    net = ad.to_lightning(make(name), Net())
    trainer(epochs=2).fit(net, Data(keyed()))
    check(net.seen, make(name), epochs=2)


def test_a_mix_in_a_chain_and_pairs():
    for t in (ad.Compose([ad.CutMix(num_classes=5), ad.Cutout(16)], seed=0), ad.CutMix(targets="pairs", seed=0)):

        class Any(Net):
            def training_step(self, batch, index):
                self.note("train", batch)
                return self.layer.weight.sum()

        net = ad.to_lightning(t, Any())
        trainer().fit(net, Data(keyed()))
        x, y = net.seen["train"][0]
        expected, labels = t(X[:4], Y[:4], keys=range(4), epoch=0)
        ours, theirs = (v if isinstance(v, tuple) else (v,) for v in (y, labels))
        assert same(x, expected) and all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def attachments():
    t = ad.CutMix(num_classes=5, seed=0)

    class Mixin(ad.to_lightning(t), Net):
        pass

    class Inside(Net):
        def __init__(self):
            super().__init__()
            ad.to_lightning(t, self)

    class DataMixin(ad.to_lightning(t), Data):
        pass

    yield "wrapped module", ad.to_lightning(t, Net()), Data(keyed())
    yield "base class of a module", Mixin(), Data(keyed())
    yield "in a constructor", Inside(), Data(keyed())
    yield "wrapped data module", Net(), ad.to_lightning(t, Data(keyed()))
    yield "base class of a data module", Net(), DataMixin(keyed())


@pytest.mark.parametrize(("net", "data"), [pytest.param(*a[1:], id=a[0]) for a in attachments()])
def test_every_way_to_attach_and_every_stage(net, data):
    run = trainer(epochs=2)
    run.fit(net, data)
    run.test(net, data, verbose=False)
    run.predict(net, data)
    check(net.seen, ad.CutMix(num_classes=5, seed=0), epochs=2)
    assert {stage: len(batches) for stage, batches in net.seen.items()} == {
        "sanity": 2, "train": 4, "val": 4, "test": 2, "predict": 2,
    }  # fmt: skip
    for stage in ("sanity", "val", "test", "predict"):
        for at, (x, y) in zip((slice(4), slice(4, 8)), net.seen[stage], strict=False):
            assert same(x, X[at]) and same(y, Y[at])


def test_the_modules_own_hook_runs_first():
    t = ad.CutMix(num_classes=5, seed=0)

    class Mixin(ad.to_lightning(t), Doubled):
        pass

    for data in (ad.to_lightning(t, Doubled()), Mixin()):
        net = Net()
        torch.manual_seed(3)
        trainer(num_sanity_val_steps=0, limit_val_batches=0).fit(net, data)
        assert all(int(x.max()) > 250 for x, _ in net.seen["train"])
        assert all(y.dtype == torch.float32 and y.shape == (4, 5) for _, y in net.seen["train"])


def test_keys_of_dict_samples():
    t = ad.CutMix(num_classes=5, seed=0)
    rows = [{"labels": y, "image": x, "key": 100 + i} for i, (x, y) in enumerate(zip(X, Y, strict=True))]
    net = ad.to_lightning(t, Net())
    trainer().fit(net, Data(rows))
    x, y = t(X[:4], Y[:4], keys=range(100, 104), epoch=0)
    first = net.seen["train"][0]
    assert list(first) == ["labels", "image", "key"] and same(first["image"], x) and same(first["labels"], y)
    assert same(net.seen["val"][0]["image"], X[:4])


def test_masks_and_boxes_follow():
    t = ad.Cutout(60, annotations=ad.Policy(boxes="shrink", min_visibility=0, masks="fill"), seed=0)
    masks = torch.ones(8, *X.shape[-2:], dtype=torch.int64)
    boxes = torch.tensor([[0.0, 0, 64, 48]]).repeat(8, 1, 1)
    net = ad.to_lightning(t, Net())
    parts = {"image": X, "mask": masks, "labels": Y, "key": torch.arange(8)}
    rows = [dict(zip(parts, row, strict=True)) for row in zip(*parts.values(), strict=True)]
    trainer().fit(net, Data(rows))
    seen = net.seen["train"][0]["mask"]
    assert torch.equal(seen == 0, t.plan(tuple(X[:4].shape), keys=range(4), epoch=0).mask())
    rows = [{**row, "target": {"boxes": b}} for row, b in zip(rows, boxes, strict=True)]
    net = ad.to_lightning(t, Net())
    trainer().fit(net, Data(rows))
    expected = t({"image": X[:4], "boxes": boxes[:4]}, keys=range(4), epoch=0)["boxes"]
    assert same(net.seen["train"][0]["target"]["boxes"], expected) and not same(expected, boxes[:4])


def test_without_keys_torchs_seed_governs():
    results = []
    for seed in (1, 1, 2):
        net = ad.to_lightning(ad.Cutout(16, seed=0), Net())
        data = Data()
        torch.manual_seed(seed)
        trainer().fit(net, data)
        results.append(torch.cat([x for x, _ in net.seen["train"]]))
    assert same(results[0], results[1]) and not same(results[0], results[2])


def test_the_users_own_batches_stay_as_they_are():
    batch = (X.clone(), Y.clone())
    net = ad.to_lightning(ad.CutMix(num_classes=5), Net())
    trainer().fit(net, DataLoader([batch], batch_size=None))
    assert same(batch[0], X) and same(batch[1], Y) and not same(net.seen["train"][0][0], X)


def test_nothing_is_added_to_the_model():
    extractor = ad.saliency.FeatureMean(torch.nn.Conv2d(3, 4, 3))
    net = ad.to_lightning(ad.AttentiveCutMix(extractor=extractor, num_classes=5), Net())
    assert sorted(net.state_dict()) == ["layer.bias", "layer.weight"]


def test_keys_stay_on_the_host():
    """Lightning moves what has ``.to``; a key that was on a GPU would have to be read back in every step."""
    t, batch = ad.Cutout(8), next(iter(DataLoader(keyed(), batch_size=4)))
    for module in (ad.to_lightning(t, Net()), type("Mixed", (ad.to_lightning(t), Net), {})()):
        held = module.on_before_batch_transfer(batch, 0)
        moved = module.transfer_batch_to_device(held, torch.device("meta"), 0)
        assert moved.item[0].is_meta and moved.key.tolist() == [0, 1, 2, 3]


def test_a_wrapped_module_is_copied_and_pickled():
    net = ad.to_lightning(ad.CutMix(num_classes=5, seed=0), Net())
    for again in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        trainer().fit(again, Data(keyed()))
        check(again.seen, ad.CutMix(num_classes=5, seed=0))
        assert "train" not in net.seen


def test_two_hooks_are_told():
    """Lightning runs the data module's alone: whichever side has the transform, nothing is dropped in silence."""

    class NetWithHook(Net):
        def on_after_batch_transfer(self, batch, dataloader_idx):
            return batch

    t = ad.CutMix(num_classes=5)
    for net, data in ((ad.to_lightning(t, Net()), Doubled()), (NetWithHook(), ad.to_lightning(t, Data()))):
        with pytest.raises(ad.AugDropError, match=r"one in Net\w* and one in (Doubled|Data).*data module's alone"):
            trainer(num_sanity_val_steps=0).fit(net, data)
        assert "train" not in net.seen


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ad.to_lightning("cutmix", Net()), "got str"),
        (lambda: ad.to_lightning(ad.Cutout(8), trainer()), "got Trainer"),
        (lambda: ad.to_lightning(ad.Cutout(8), Net), "got Net"),
        (lambda: ad.to_lightning(ad.Cutout(8), ad.to_lightning(ad.Cutout(8), Net())), "ad.Compose"),
        (lambda: trainer().fit(ad.to_lightning(ad.CutMix(), Net()), Data()), "labels: got class indices without"),
    ],
)
def test_bad_input_names_the_adapter_and_the_mend(call, said):
    with pytest.raises(ad.AugDropError, match=said) as error:
        call()
    assert str(error.value).startswith("to_lightning")
