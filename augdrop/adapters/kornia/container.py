"""kornia's container with class labels that follow mixes."""

from __future__ import annotations

from typing import Any

import kornia.augmentation as K
from kornia.augmentation.container.base import ImageSequentialBase
from kornia.augmentation.container.ops import AugmentationSequentialOps, ClassSequentialOps
from kornia.augmentation.container.params import ParamItem
from kornia.constants import DataKey

from augdrop.errors import fail
from augdrop.samples import roles


class _Labels(ClassSequentialOps):
    @classmethod
    def transform(cls, input: Any, module: Any, param: ParamItem, extra_args: Any = None) -> Any:
        if getattr(module, "mixes_labels", False):
            return module.transform_class(input, cls.get_instance_module_param(param), module.flags)
        if isinstance(module, ImageSequentialBase):
            for child in cls.get_sequential_module_param(param):
                input = cls.transform(input, module.get_submodule(child.name), child)
            return input
        return super().transform(input, module, param, extra_args)


class _Ops(AugmentationSequentialOps):
    def _get_op(self, data_key: DataKey) -> Any:
        return _Labels if data_key == DataKey.CLASS else super()._get_op(data_key)


class LabelledSequential(K.AugmentationSequential):
    """kornia's ``AugmentationSequential``, with class labels that follow AugDrop's mixes; the same arguments.

    kornia's own container raises ``NotImplementedError`` for a class key beside a mix, and leaves labels as they are if
    the mix is in a container within it.

    Example:
        >>> import augdrop as ad, torch
        >>> from augdrop.adapters.kornia import LabelledSequential
        >>> import kornia.augmentation as K
        >>> mix = ad.to_kornia(ad.CutMix(num_classes=10, seed=0))
        >>> augment = LabelledSequential(K.RandomHorizontalFlip(), mix, data_keys=["input", "class"])
        >>> with ad.keys(range(4)):
        ...     x, y = augment(torch.rand(4, 3, 32, 32), torch.tensor([3, 1, 4, 1]))
        >>> y.shape
        torch.Size([4, 10])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.transform_op = _Ops(self.data_keys)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and isinstance(args[0], dict):
            unknown = [key for key in args[0] if str(key).lower() in roles.LABELS and key.lower() != "label"]
            if unknown and any(getattr(module, "mixes_labels", False) for module in self.modules()):
                fix = 'Call it "label"; what kornia does not know it hands on as it is.'
                raise fail("LabelledSequential", got=repr(unknown[0]), expected='"label" or "class"', fix=fix)
        return super().forward(*args, **kwargs)
