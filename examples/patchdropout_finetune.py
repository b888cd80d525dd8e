"""Fine-tune a vision transformer on a random half of the patches of each image, and use it on all of them.

Without arguments: scikit-learn's digits, enlarged. A tiny vision transformer of timm's first learns which way up an
image is, which takes no labels. From there it is fine-tuned twice, once with PatchDropout::

    python examples/patchdropout_finetune.py --data photographs --epochs 30

Prints the held-out accuracy of both over three seeds, the time of a training step, and the ratio. From half of the
patches a model learns more slowly in epochs; both are given the same number of them here.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from vit_classifier import accuracy, arguments, fit, in_turn, parts, report, vit

from augdrop import tokens


def pretrained(train, given, seed: int) -> nn.Module:
    """A model that has learnt by how many quarters an image is turned."""
    model, images = vit(train, 4, seed), train.tensors[0]

    def loss_of(index: Tensor, epoch: int) -> Tensor:
        x, turns = images[index], (index + epoch) % 4
        turned = torch.cat([x[turns == k].rot90(k, (2, 3)) for k in range(4)])
        return cross_entropy(model(turned), turns.sort().values)

    fit(model, len(images), loss_of, given, seed)
    return model


def main() -> None:
    given = arguments(__doc__, epochs=15)
    train, test = parts(given)
    images, labels = train.tensors
    scores: dict[str, list[float]] = {"all patches": [], "PatchDropout, half": []}
    for seed in given.seeds:
        start = pretrained(train, given, seed)
        start.reset_classifier(int(labels.max()) + 1)
        models = {name: copy.deepcopy(start) for name in scores}

        # In training only: in eval mode the model sees all patches.
        log = tokens.attach(models["PatchDropout, half"], tokens.PatchDropout(0.5, seed=seed))

        def loss_with(model: nn.Module, log=log) -> Callable[[Tensor, int], Tensor]:
            def loss_of(index: Tensor, epoch: int) -> Tensor:
                log.keys, log.epoch = index, epoch  # a selection is of (seed, number of the image, epoch)
                return cross_entropy(model(images[index]), labels[index])

            return loss_of

        losses = {name: loss_with(model) for name, model in models.items()}
        for name, model in models.items():
            fit(model, len(images), losses[name], given, seed)
            scores[name].append(accuracy(model, test))
    index = torch.arange(min(given.batch, len(images)))
    report(scores, in_turn(models, {name: lambda loss=loss: loss(index, 0) for name, loss in losses.items()}))
    print(f"of {log.selection.total} tokens {log.selection.keep.shape[1]} stay in training")


if __name__ == "__main__":
    main()
