"""Ops of kornia that carry out AugDrop transforms: one that erases, one that mixes."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from typing import Any, cast

import kornia.augmentation as K
import numpy as np
import torch
from kornia.augmentation.base import _BasicAugmentationBase
from kornia.augmentation.container.params import ParamItem
from kornia.constants import DataKey
from kornia.geometry.boxes import Boxes
from kornia.geometry.keypoints import Keypoints
from torch import Tensor

from augdrop.adapters.checks import check_distinct, check_layout, named
from augdrop.adapters.kornia.annotations import move_boxes, move_masks, move_points
from augdrop.adapters.kornia.container import LabelledSequential
from augdrop.errors import fail
from augdrop.keys import Ids
from augdrop.plan import Plan
from augdrop.plans import Plans, plan_from_dict
from augdrop.transforms.base import Transform
from augdrop.transforms.shapes import Shape

Params = dict[str, Tensor]
WHERE = "to_kornia"


def ours(method: Callable[..., Any]) -> Any:
    """Outside of compiled graphs, for torch cannot look into NumPy and compiled kernels; errors name the adapter."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        with named(WHERE):
            return method(*args, **kwargs)

    return torch.compiler.disable(call)


class KorniaDrop(_BasicAugmentationBase):
    """What an op that erases and one that mixes have in common; made by `to_kornia`.

    Args:
        transform: any AugDrop transform.
        keepdim: as everywhere in kornia: an image ``[C, H, W]`` comes back as one, not as a batch.
        data_keys: what the inputs of a call of the op alone are; by default an image, or an image and its class.

    ``box_origin``, ``boxes_visible`` and ``keypoints_visible`` tell of the last boxes and keypoints what kornia's
    tensors have no place for: see `to_kornia`.
    """

    box_origin: Tensor | None = None
    boxes_visible: Tensor | None = None
    keypoints_visible: Tensor | None = None

    def __init__(self, transform: Transform, keepdim: bool, data_keys: Sequence[str] | None) -> None:
        # p = 1: which samples are hit is the plan's to say, and kornia need not choose between two whole batches.
        super().__init__(p=1.0, p_batch=1.0, keepdim=keepdim)
        self.transform = transform
        self.given_keys = data_keys

    @ours
    def forward_parameters(
        self, batch_shape: Sequence[int], keys: Ids | None = None, epoch: Ids | None = None
    ) -> Params:
        """What a plan follows from: keys, epochs and positions of the samples; kornia repeats rows for frames."""
        n = batch_shape[0]
        draws = self.transform.draws(n, keys, epoch)
        fix = "Number the samples; kornia's VideoSequential shares a key among frames."
        check_distinct(f"{WHERE}: keys", draws.keys, fix)
        ids, epochs = torch.tensor(draws.keys), torch.tensor(draws.epochs)
        if self.same_on_batch and n:
            ids, epochs = ids[:1].repeat(n), epochs[:1].repeat(n)
        drawn = {"keys": ids, "epochs": epochs, "sample": torch.arange(n)}
        return drawn | {"batch_prob": torch.ones(n), "forward_input_shape": torch.tensor(tuple(batch_shape))}

    def forward(
        self,
        *inputs: Any,
        params: Params | None = None,
        data_keys: Sequence[Any] | None = None,
        keys: Ids | None = None,
        epoch: Ids | None = None,
        **extra: Any,
    ) -> Any:
        """Transform images, or images and what belongs to them.

        Args:
            inputs: images float ``[B, C, H, W]``, and what ``data_keys`` names.
            params: of an earlier call, to do the same again.
            data_keys: as in kornia's containers; by default those of the op.
            keys: the samples' names, integers ``[B]``; by default those of ``augdrop.keys``.
            epoch: one integer, or ``[B]``.
            extra: what a container hands over and nothing here needs.
        """
        names = data_keys or self.given_keys or ("input", "class")[: len(inputs)]
        if len(names) != len(inputs):
            got = f"{len(inputs)} inputs for data_keys {list(map(str, names))}"
            raise fail(WHERE, got=got, expected="one for each", fix='Say data_keys=["input", "mask"], for example.')
        names = [DataKey.get(name) for name in names]
        if params is None:
            if DataKey.INPUT not in names:
                raise fail(
                    WHERE, got=f"{[n.name for n in names]}", expected="an image, or params=", fix="Pass it first."
                )
            params = self.forward_parameters(self._batch(inputs[names.index(DataKey.INPUT)]).shape, keys, epoch)
        if names == [DataKey.INPUT]:
            return self._images(inputs[0], params)
        container = LabelledSequential(self, data_keys=names)
        name = next(iter(dict(container.named_children())))
        return container.forward(*inputs, params=[ParamItem(name, cast(Any, params))])

    @ours
    def _images(self, images: Tensor, params: Params) -> Tensor:
        x = self._batch(images)
        # Children that kornia knows nothing of may have resized the images since the parameters were drawn.
        params["forward_input_shape"][-3:] = torch.tensor(x.shape[-3:])
        if self.transform.uses_pixels and "plan" not in params:
            params["plan"] = _encode(self._decide(x.view(_shape(params)), params))
        return self._paint(images, params)

    def _paint(self, images: Tensor, params: Params) -> Tensor:
        raise NotImplementedError

    def _batch(self, images: Any) -> Tensor:
        """Images as ``[B, C, H, W]``, after what kornia would refuse with less to say."""
        if not isinstance(images, Tensor) or not images.is_floating_point() or not 2 <= images.ndim <= 4:
            got = f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
            fix = "Pass x / 255, or call the AugDrop transform itself, which takes integers and videos as they are."
            raise fail(f"{WHERE}: image", got=got, expected="a float tensor [B, C, H, W]", fix=fix)
        check_layout(WHERE, images.shape, "BCHW")
        return self.transform_tensor(images)

    def _decide(self, x: Any, params: Params) -> Plan | Plans:
        frames = _frames(params)
        keys, epochs = params["keys"][::frames], params["epochs"][::frames]
        return self.transform.decide(x, self.transform.draws(len(keys), keys, epochs))

    @ours
    def plan(self, params: Params | None = None) -> Plan | Plans:
        """The plan of a call, by default the last one's."""
        params = self._params if params is None else params
        if self.transform.uses_pixels:
            if "plan" not in params:
                fix = "Transform the image with these params first."
                raise fail(WHERE, got="params without a plan", expected="those of a call with an image", fix=fix)
            return _decode(params["plan"], params["sample"])
        return self._decide(Shape(_shape(params)), params)

    @ours
    def apply_transform(self, input: Tensor, params: Params, flags: Any, transform: Any = None) -> Tensor:
        return self.transform.apply(input.view(_shape(params)), self.plan(params)).reshape(input.shape)

    @ours
    def apply_transform_mask(self, input: Tensor, params: Params, flags: Any, transform: Any = None) -> Tensor:
        return move_masks(self.transform, self.plan(params), input)

    @ours
    def apply_transform_boxes(self, input: Boxes, params: Params, flags: Any, transform: Any = None) -> Boxes:
        moved, self.box_origin, self.boxes_visible = move_boxes(self.transform, self.plan(params), input)
        return moved

    @ours
    def _move_points(self, points: Tensor, params: Params) -> Tensor:
        moved, self.keypoints_visible = move_points(self.transform, self.plan(params), points)
        return moved.view(*points.shape[:-2], -1, 2)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.transform!r})"


class Erase(KorniaDrop, K.IntensityAugmentationBase2D):
    """An AugDrop transform that mixes nothing, as an op of kornia; made by `to_kornia`."""

    def _paint(self, images: Tensor, params: Params) -> Tensor:
        return K.IntensityAugmentationBase2D.forward(self, images, params)

    @staticmethod
    def _blend_by_prob(transformed: Tensor, not_transformed: Tensor, to_apply: Tensor) -> Tensor:
        # kornia would choose between two whole batches; which samples are hit has been decided.
        return transformed

    def apply_transform_box(self, input: Boxes, params: Params, flags: Any, transform: Any = None) -> Boxes:
        return self.apply_transform_boxes(input, params, flags)

    def apply_transform_keypoint(
        self, input: Keypoints, params: Params, flags: Any, transform: Any = None
    ) -> Keypoints:
        return Keypoints(self._move_points(input.data, params), False)


class Mix(KorniaDrop, K.MixAugmentationBaseV2):
    """An AugDrop transform that mixes samples, as an op of kornia; made by `to_kornia`."""

    mixes_labels = True

    def _paint(self, images: Tensor, params: Params) -> Tensor:
        # Not by kornia's own way, which chooses between the batch and the mixed batch pixel by pixel.
        self._commit_state(params=params)
        mixed = self.apply_transform(self.transform_tensor(images), params, self.flags)
        return self.transform_output_tensor(mixed, images.shape) if self.keepdim else mixed

    def apply_transform_mask(self, input: Tensor, params: Params, flags: Any, transform: Any = None) -> Tensor:
        masks = super().apply_transform_mask(input, params, flags)
        return masks.unsqueeze(1) if masks.ndim == 3 and not self.keepdim else masks  # as next to other ops

    def apply_transform_keypoint(self, input: Tensor, params: Params, flags: Any) -> Tensor:
        return self._move_points(input, params)

    @ours
    def apply_transform_class(self, input: Tensor, params: Params, flags: Any) -> Any:
        return self.transform.mix_labels(input, self.plan(params), cast(Any, Shape(_shape(params))))


def _frames(params: Params) -> int:
    """How often each sample's row was repeated, for the frames of a video."""
    sample = params["sample"]
    return int((sample == sample[0]).sum()) if len(sample) else 1


def _shape(params: Params) -> tuple[int, ...]:
    """The images by samples: ``[B, C, H, W]``, or ``[B, T, C, H, W]`` where a container has made frames of them."""
    frames = _frames(params)
    samples = len(params["sample"]) // frames
    return (samples, *((frames,) if frames > 1 else ()), *params["forward_input_shape"][-3:].tolist())


def _encode(plan: Plan | Plans) -> Tensor:
    """A plan as bytes, ``[1, L]``: kornia takes the rows of a tensor apart if there are as many as samples."""
    return torch.from_numpy(np.frombuffer(json.dumps(plan.to_dict()).encode(), np.uint8).copy())[None]


def _decode(raw: Tensor, sample: Tensor) -> Plan | Plans:
    """The plan behind `_encode`'s bytes; of one sample where kornia takes masks one by one."""
    plan = plan_from_dict(json.loads(raw.cpu().numpy().tobytes()))
    return plan if len(plan) <= len(sample) else plan.take(sample)
