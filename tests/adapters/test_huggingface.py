"""to_transformers with a real Trainer and a tiny ViT made from its config; to_datasets with real data sets."""

import os
import pickle

os.environ["HF_HUB_OFFLINE"] = "1"

import datasets
import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from torch.nn import functional as F
from torchvision import tv_tensors
from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

import augdrop as ad
from tests.adapters.cases import NAMES, make
from tests.transforms.cases import images, same

transformers.logging.set_verbosity_error()
X, Y = images(8, (32, 32)) / 255, torch.arange(8) % 5
ITEMS = [{"pixel_values": x, "labels": y} for x, y in zip(X, Y.tolist(), strict=True)]
MIXES = [name for name in NAMES if make(name).label_options() is not None]


def vit():
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return ViTForImageClassification(ViTConfig(image_size=32, patch_size=16, num_labels=5, **size, **still))


class Noting(torch.nn.Module):
    """A model that notes its batches, and whether they are of training."""

    def __init__(self):
        super().__init__()
        self.vit, self.seen = vit(), []
        self.config = self.vit.config

    def forward(self, pixel_values, labels=None):
        self.seen.append((torch.is_grad_enabled(), pixel_values.clone()))
        return self.vit(pixel_values, labels=labels)


def trainer(t, model, folder, items=ITEMS, eval_dataset=ITEMS, collate_fn=None, **options):
    quiet = {"report_to": [], "use_cpu": True, "save_strategy": "no", "disable_tqdm": True, "logging_steps": 1}
    options = {"num_train_epochs": 1, "per_device_train_batch_size": 4, **options}
    args = TrainingArguments(str(folder), **quiet, **options)
    return Trainer(model, args, eval_dataset=eval_dataset, **ad.to_transformers(t, items, collate_fn))


@pytest.mark.parametrize("name", NAMES)
def test_every_method_is_the_core_by_index_and_epoch(name):
    parts, t = ad.to_transformers(make(name), ITEMS), make(name)
    for epoch in (0, 3):
        parts["train_dataset"].set_epoch(epoch)
        batch = parts["data_collator"]([parts["train_dataset"][i] for i in (6, 1, 3)])
        ids = [6, 1, 3]
        x, y = t(X[ids], Y[ids], keys=ids, epoch=epoch)
        assert same(batch["pixel_values"], x) and same(batch["labels"], y)
    assert ("compute_loss_func" in parts) == (name in MIXES)


def test_a_mix_in_a_chain():
    t = ad.Compose([ad.CutMix(num_classes=5), ad.Cutout(16)], seed=0)
    parts = ad.to_transformers(t, ITEMS)
    batch = parts["data_collator"]([parts["train_dataset"][i] for i in range(8)])
    x, y = t(X, Y, keys=range(8), epoch=0)
    assert same(batch["pixel_values"], x) and same(batch["labels"], y) and "compute_loss_func" in parts
    data, pixels = table()
    rows = ad.to_datasets(t, key="idx")(data[:])
    x, y = t(pixels, Y, keys=range(10, 18))
    assert same(as_tensor(rows["image"]), x) and same(torch.stack(rows["label"]), y)


class InOrder(Trainer):
    """The samples in their order, so that every batch of every epoch is known."""

    def _get_train_sampler(self, *args):
        return torch.utils.data.SequentialSampler(self.train_dataset)


@pytest.mark.parametrize("workers", [0, 2])
def test_training_is_the_core_by_epoch_and_evaluation_is_left_alone(tmp_path, workers):
    """In running workers too; and a run that is resumed goes on with its epoch."""
    mix = ad.CutMix(num_classes=5, seed=0)
    quiet = {"report_to": [], "use_cpu": True, "disable_tqdm": True, "save_strategy": "steps", "save_steps": 3}
    loading = {"dataloader_num_workers": workers, "dataloader_persistent_workers": workers > 0}
    options = {"num_train_epochs": 3, "per_device_train_batch_size": 4, "eval_strategy": "epoch"}
    args = TrainingArguments(str(tmp_path), **quiet, **loading, **options)
    for steps, checkpoint in ((range(6), None), (range(3, 6), str(tmp_path / "checkpoint-3"))):
        model = Noting()
        run = InOrder(model, args, eval_dataset=ITEMS, **ad.to_transformers(mix, ITEMS))
        run.train(resume_from_checkpoint=checkpoint)
        run.predict(ITEMS)
        trained = [x for trains, x in model.seen if trains]
        assert len(trained) == len(steps)
        for step, x in zip(steps, trained, strict=True):
            ids = [0, 1, 2, 3] if step % 2 == 0 else [4, 5, 6, 7]
            assert same(x, mix(X[ids], Y[ids], keys=ids, epoch=step // 2)[0])
        rest = [x for trains, x in model.seen if not trains]
        assert len(rest) >= 3 and all(same(x, X) for x in rest)


def test_the_loss_is_cross_entropy_and_not_binary(tmp_path):
    """The trap: a ViT that sees soft labels itself sets multi_label_classification, and keeps to it."""
    trapped = vit()
    trapped(X, labels=F.one_hot(Y, 5).float())
    assert trapped.config.problem_type == "multi_label_classification"
    mix = ad.CutMix(num_classes=5, label_smoothing=0.1, seed=0)
    model = vit()
    run = trainer(mix, model, tmp_path, per_device_train_batch_size=8, learning_rate=0.0)
    run.train()
    metrics = run.evaluate()
    assert model.config.problem_type is None
    x, y = mix(X, Y, keys=range(8), epoch=0)
    with torch.no_grad():
        expected = F.cross_entropy(model(x).logits, y).item()
        clean = F.cross_entropy(model(X).logits, Y).item()
    assert run.state.log_history[0]["loss"] == pytest.approx(expected, rel=1e-4)
    assert metrics["eval_loss"] == pytest.approx(clean, rel=1e-4)


def test_it_learns(tmp_path):
    model = vit()
    options = {"num_train_epochs": 6, "learning_rate": 2e-2, "per_device_train_batch_size": 8}
    run = trainer(ad.CutMix(num_classes=5, p=0.5), model, tmp_path, **options)
    before = run.evaluate()["eval_loss"]
    run.train()
    assert run.evaluate()["eval_loss"] < before


def test_metrics_see_integer_labels(tmp_path):
    run = trainer(ad.CutMix(num_classes=5), vit(), tmp_path)
    seen = []
    run.compute_metrics = lambda p: seen.append(p.label_ids) or {}
    run.evaluate()
    assert np.array_equal(seen[0], Y.numpy()) and seen[0].dtype == np.int64


@pytest.mark.parametrize("name", ["CutMix", "Cutout"])
def test_accumulated_gradients_are_those_of_one_batch(tmp_path, name):
    """Trainer counts every entry of soft labels as an item; the loss must be the mean over samples all the same."""
    results = []
    for size, steps in ((8, 1), (3, 3)):
        model = vit()
        # Erased once for all, and partners of the data set's: the drop must not depend on the batch here.
        t = make(name, p=0.0) if name == "CutMix" else make(name)
        options = {"per_device_train_batch_size": size, "gradient_accumulation_steps": steps, "max_grad_norm": 0.0}
        trainer(t, model, tmp_path, optim="sgd", learning_rate=1.0, lr_scheduler_type="constant", **options).train()
        results.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    start = torch.cat([p.detach().flatten() for p in vit().parameters()])
    moved = results[0] - start
    assert moved.abs().max() > 1e-3
    assert all(torch.allclose(r - start, moved, atol=1e-5) for r in results)


def test_num_items_and_ignored_labels():
    logits, y = torch.randn(4, 5), torch.tensor([0, 1, -100, 3])
    loss = ad.to_transformers(ad.CutMix(num_classes=5), ITEMS)["compute_loss_func"]
    assert torch.allclose(loss({"logits": logits}, y), F.cross_entropy(logits, y))
    assert torch.allclose(loss((logits,), y, num_items_in_batch=6), F.cross_entropy(logits, y, reduction="sum") / 6)
    soft = torch.rand(4, 5).softmax(1)
    assert torch.allclose(loss((logits.half(),), soft), F.cross_entropy(logits.half().float(), soft))
    double = torch.tensor(2 * soft.numel())
    assert torch.allclose(loss((logits,), soft, num_items_in_batch=double), F.cross_entropy(logits, soft) / 2)


def test_multi_label_models_keep_binary_cross_entropy(tmp_path):
    model = vit()
    model.config.problem_type = "multi_label_classification"
    rows = [{"pixel_values": x, "labels": F.one_hot(y, 5).float()} for x, y in zip(X, Y, strict=True)]
    mix = ad.CutMix(multi_label=True, seed=0)
    run = trainer(mix, model, tmp_path, rows, rows, per_device_train_batch_size=8, learning_rate=0.0)
    run.train()
    x, y = mix(X, F.one_hot(Y, 5).float(), keys=range(8), epoch=0)
    with torch.no_grad():
        expected = F.binary_cross_entropy_with_logits(model(x).logits, y).item()
        clean = F.binary_cross_entropy_with_logits(model(X).logits, F.one_hot(Y, 5).float()).item()
    assert run.state.log_history[0]["loss"] == pytest.approx(expected, rel=1e-4)
    assert run.evaluate()["eval_loss"] == pytest.approx(clean, rel=1e-4)


def test_an_eraser_leaves_the_models_own_loss(tmp_path):
    model = vit()
    trainer(ad.GridMask((8, 16)), model, tmp_path).train()
    assert model.config.problem_type == "single_label_classification"


@pytest.mark.parametrize("workers", [0, 1])
def test_columns_that_the_model_does_not_take(tmp_path, workers):
    """Trainer takes them from all dict items by default; keys arrive none the less."""
    mix = ad.CutMix(num_classes=5, seed=0)
    rows = [{**item, "key": 100 + i, "image_id": i} for i, item in enumerate(ITEMS)]
    model = Noting()
    run = trainer(mix, model, tmp_path, rows, rows, dataloader_num_workers=workers, per_device_train_batch_size=8)
    run._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(run.train_dataset)
    run.train()
    run.evaluate()
    assert same(model.seen[0][1], mix(X, Y, keys=range(100, 108), epoch=0)[0]) and same(model.seen[1][1], X)


def test_keys_of_the_items_win_and_models_do_not_see_them(tmp_path):
    mix = ad.CutMix(num_classes=5, seed=0)
    rows = [{**item, "key": 100 + i} for i, item in enumerate(ITEMS)]
    parts = ad.to_transformers(mix, rows)
    batch = parts["data_collator"]([parts["train_dataset"][i] for i in range(4)])
    assert sorted(batch) == ["labels", "pixel_values"]
    assert same(batch["pixel_values"], mix(X[:4], Y[:4], keys=range(100, 104), epoch=0)[0])
    trainer(mix, vit(), tmp_path, rows, rows, remove_unused_columns=False).train()
    parts = ad.to_transformers(mix, [{**item, "key": f"{i}.jpg"} for i, item in enumerate(ITEMS)])
    batch = parts["data_collator"]([parts["train_dataset"][i] for i in range(4)])
    named = [ad.key_of(f"{i}.jpg") for i in range(4)]
    assert same(batch["pixel_values"], mix(X[:4], Y[:4], keys=named, epoch=0)[0])


def test_masks_follow():
    masks = torch.randint(0, 3, (8, 32, 32))
    rows = [{"pixel_values": x, "labels": m} for x, m in zip(X, masks, strict=True)]
    mix = ad.CutMix(seed=0)
    parts = ad.to_transformers(mix, rows)
    batch = parts["data_collator"]([parts["train_dataset"][i] for i in range(4)])
    expected = mix({"image": X[:4], "masks": masks[:4]}, keys=range(4), epoch=0)
    assert same(batch["labels"], expected["masks"]) and not same(batch["labels"], masks[:4])
    assert same(batch["pixel_values"], expected["image"])


def test_the_items_stay_as_they_are_and_the_collator_is_pickled():
    parts = ad.to_transformers(ad.CutMix(num_classes=5, seed=0), ad.keyed(ITEMS, attach=True))
    collator, data = pickle.loads(pickle.dumps((parts["data_collator"], parts["train_dataset"])))
    whole = {"pixel_values": X, "labels": Y}
    for made in (collator, ad.to_transformers(ad.CutMix(num_classes=5), ITEMS, lambda _: whole)["data_collator"]):
        assert not same(made([data[i] for i in range(8)])["pixel_values"], images(8, (32, 32)) / 255)
    assert same(X, images(8, (32, 32)) / 255) and all(same(i["pixel_values"], x) for i, x in zip(ITEMS, X, strict=True))


def test_the_callback_sets_the_epoch(tmp_path):
    """accelerate sets that of a data set in one process alone; with a sampler for several it does not."""
    run = trainer(ad.CutMix(num_classes=5), vit(), tmp_path)
    run.state.epoch = 2.0
    run.callback_handler.on_epoch_begin(run.args, run.state, run.control)
    assert run.train_dataset[0].epoch == 2


def test_another_keyed_data_set_is_only_collated():
    collator = ad.to_transformers(ad.CutMix(num_classes=5), ITEMS)["data_collator"]
    batch = collator([ad.keyed(ITEMS, attach=True)[i] for i in range(8)])
    assert same(batch["pixel_values"], X) and same(batch["labels"], Y)


def train_on(rows, folder, t=None, **options):
    trainer(ad.CutMix(num_classes=5) if t is None else t, vit(), folder, rows, **options).train()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda f: ad.to_transformers("cutmix", ITEMS), "got str"),
        (lambda f: ad.to_transformers(ad.CutMix(targets="pairs"), ITEMS), "soft targets"),
        (lambda f: ad.to_transformers(ad.CutMix(), iter(ITEMS)), "train_dataset: keyed: got list_iterator"),
        (
            lambda f: train_on([{"image": x, "labels": 1} for x in X], f),
            "pixel_values: got labels;",
        ),
        (lambda f: train_on([{"pixel_values": x} for x in X], f), "labels: got pixel_values"),
        (
            lambda f: train_on([{"pixel_values": x.movedim(0, -1), "labels": 1} for x in X], f),
            "pixel_values: got shape .*expected BCHW",
        ),
        (lambda f: train_on(ITEMS, f, ad.CutMix()), "class indices without num_classes"),
        (lambda f: train_on(ITEMS, f, label_smoothing_factor=0.1), "label_smoothing_factor=0.1.*Pass label_smoothing"),
    ],
)
def test_bad_input_names_the_adapter_and_the_mend(tmp_path, call, said):
    with pytest.raises(ad.AugDropError, match=said) as error:
        call(tmp_path)
    assert str(error.value).startswith("to_transformers")


def test_boxes_of_a_detector_are_refused():
    def collate(items):
        return {"pixel_values": X[: len(items)], "labels": [{"boxes": torch.rand(2, 4)} for _ in items]}

    parts = ad.to_transformers(ad.Cutout(8), ITEMS, collate)
    with pytest.raises(ad.AugDropError, match=r"to_transformers: labels: got list.*before the image processor"):
        parts["data_collator"]([parts["train_dataset"][i] for i in range(4)])


def test_evaluating_the_training_items_is_refused(tmp_path):
    run = trainer(ad.CutMix(num_classes=5), vit(), tmp_path)
    with pytest.raises(ad.AugDropError, match="to_transformers: evaluation"):
        run.evaluate(run.train_dataset)


# Datasets


def table(**columns):
    pixels = (X.permute(0, 2, 3, 1) * 255).round().byte().numpy()
    rows = {"image": [Image.fromarray(p) for p in pixels], "label": Y.tolist(), "idx": list(range(10, 18)), **columns}
    return datasets.Dataset.from_dict(rows), torch.from_numpy(pixels).permute(0, 3, 1, 2)


def as_tensor(rows):
    return torch.stack([torch.from_numpy(np.array(image)) for image in rows]).permute(0, 3, 1, 2)


@pytest.mark.parametrize("name", NAMES)
def test_set_transform_is_the_core_on_pil_images(name):
    data, pixels = table()
    data.set_transform(ad.to_datasets(make(name), key="idx"))
    ids = [3, 1, 6]
    rows = data[ids]
    x, y = make(name)(pixels[ids], Y[ids], keys=[10 + i for i in ids], epoch=0)
    assert all(isinstance(image, Image.Image) for image in rows["image"]) and rows["idx"] == [10 + i for i in ids]
    assert same(as_tensor(rows["image"]), x) and torch.equal(torch.as_tensor(np.stack(rows["label"])), y)


def test_a_dataloader_fetches_batches_that_mix_in_any_worker():
    data, pixels = table()
    mix = ad.CutMix(num_classes=5, seed=0)
    data = data.rename_column("idx", "key")
    mapped = ad.to_datasets(mix)
    data.set_transform(lambda rows: as_arrays(mapped(rows)))
    for workers in (0, 2):
        batch = next(iter(torch.utils.data.DataLoader(data, batch_size=8, num_workers=workers)))
        x, y = mix(pixels, Y, keys=range(10, 18), epoch=0)
        assert same(batch["image"].permute(0, 3, 1, 2), x) and same(batch["label"], y)


def as_arrays(rows):
    return {**rows, "image": [np.array(image) for image in rows["image"]]}


def test_a_row_alone_stays_and_keyed_gives_it_its_index():
    data, pixels = table()
    cut = ad.Cutout(8, seed=0)
    data.set_transform(ad.to_datasets(cut))
    rows = [ad.keyed(data)[i] for i in (2, 5)]
    assert same(as_tensor([r["image"] for r in rows]), cut(pixels[[2, 5]], keys=[2, 5]))
    data.set_transform(ad.to_datasets(ad.CutMix(num_classes=5)))
    assert same(as_tensor([data[2]["image"]])[0], pixels[2])


def test_the_epoch_counts():
    data, pixels = table()
    step = ad.to_datasets(ad.Cutout(8, seed=0), key="idx")
    data.set_transform(step)
    step.set_epoch(4)
    assert same(as_tensor(data[:]["image"]), ad.Cutout(8, seed=0)(pixels, keys=range(10, 18), epoch=4))


def test_masks_and_boxes_follow():
    masks = [Image.fromarray(np.full((32, 32), i + 1, np.uint8)) for i in range(8)]
    data, pixels = table(annotation=masks, objects=[[[0.0, 0, 32, 32]]] * 8)
    mix = ad.CutMix(num_classes=5, seed=0)
    data.set_transform(ad.to_datasets(mix, key="idx", masks="annotation"))
    rows = data[:]
    plan = mix.plan(tuple(pixels.shape), keys=range(10, 18))
    for i, mask in enumerate(rows["annotation"]):
        expected = torch.where(plan.mask()[i], plan.partner[i] + 1, i + 1)
        assert isinstance(mask, Image.Image) and torch.equal(torch.from_numpy(np.array(mask)).long(), expected)

    def with_boxes(rows):
        boxes = [tv_tensors.BoundingBoxes(b, format="XYWH", canvas_size=(32, 32)) for b in rows["objects"]]
        return shrink({**rows, "objects": boxes})

    cut = ad.Cutout(44, annotations=ad.Policy(boxes="shrink", min_visibility=0), seed=0)
    shrink = ad.to_datasets(cut, key="idx", boxes="objects")
    data.set_transform(with_boxes)
    found, whole = data[:]["objects"], torch.tensor([0.0, 0, 32, 32])
    assert all(b.format.value == "XYWH" for b in found) and any(not torch.equal(b[0], whole) for b in found if len(b))


def test_a_stream_is_mixed_by_map():
    data, pixels = table()
    mix = ad.CutMix(num_classes=5, seed=0)
    stream = data.to_iterable_dataset().map(ad.to_datasets(mix, key="idx"), batched=True, batch_size=4)
    rows = list(stream)
    x, y = mix(pixels[:4], Y[:4], keys=range(10, 14))
    assert same(as_tensor([r["image"] for r in rows[:4]]), x) and same(torch.stack([r["label"] for r in rows[:4]]), y)


def test_map_writes_soft_labels():
    data, pixels = table()
    data = data.cast_column("label", datasets.Value("int64"))
    mix = ad.CutMix(num_classes=5, seed=0)
    features = datasets.Features({**data.features, "label": datasets.Sequence(datasets.Value("float32"))})
    done = data.map(ad.to_datasets(mix, key="idx"), batched=True, batch_size=8, features=features)
    x, y = mix(pixels, Y, keys=range(10, 18))
    assert same(as_tensor(done[:]["image"]), x) and torch.equal(torch.tensor(done[:]["label"]), y)


@pytest.mark.parametrize(
    ("make_step", "said"),
    [
        (lambda: ad.to_datasets(ad.Cutout(8), image="photo"), "image: got 'image', 'label', .*expected 'photo'"),
        (lambda: ad.to_datasets(ad.CutMix(num_classes=5), label="class"), "label: got"),
        (lambda: ad.to_datasets(ad.CutMix()), "labels: got class indices without num_classes"),
        (lambda: ad.to_datasets(ad.Cutout(8), boxes="objects"), "objects: got lists"),
        (lambda: ad.to_datasets(ad.Cutout(8), key="label"), "0 twice in a batch"),
        (lambda: ad.to_datasets("cutout"), "got str"),
    ],
)
def test_bad_rows_name_the_adapter_and_the_mend(make_step, said):
    data, _ = table(objects=[[[0.0, 0, 32, 32]]] * 8)
    with pytest.raises(ad.AugDropError, match=said) as error:
        make_step()({name: data[name][:] for name in data.column_names})
    assert str(error.value).startswith("to_datasets")


def test_images_of_several_sizes_cannot_be_mixed():
    rows = {"image": [Image.new("RGB", (32, 32)), Image.new("RGB", (16, 32))], "label": [0, 1]}
    with pytest.raises(ad.AugDropError, match="to_datasets: CutMix: got images of 2 sizes"):
        ad.to_datasets(ad.CutMix(num_classes=5))(rows)
    assert len(ad.to_datasets(ad.Cutout(8))(rows)["image"]) == 2
