"""DALI on the CPU: AugDrop's stage against DALI's own operators in pipelines that differ in nothing else.

Single operators stand behind a source that hands over one batch after the other, so many (`benchmarks.timing.batches`)
that none is in the caches any more when it comes again. All pipelines share them and their turn: whoever is next gets
the next batch.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import augdrop as ad
from benchmarks import photographs
from benchmarks.comparison import CLASSES, row
from benchmarks.throughput import passes, undisturbed
from benchmarks.timing import Effort, Row, batches, in_turn, micros, race

SAME, FAR_LESS, END_TO_END = 1.1, 1 / 4, 0.03
"""What ours is to take at most: of DALI's time for the same job, of its grid_mask and CutMix, and of a whole loader."""
CUTMIX, FLOOR = "permute_batch + multi_paste", "a stage that does nothing"
NOTHING, AGAIN = "nothing", "nothing, once more"
"""Without a stage; what that seems to cost the second time is what the measurement cannot tell apart."""

Node = Any
Step = Callable[[Node, Node, Node], tuple[Node, ...]]
"""``step(images, labels, keys)``: the nodes that a pipeline returns."""

SIZE, BATCH, THREADS = 224, 64, 2
AHEAD, BATCHES = 2, 8
"""Batches that DALI prefetches by default, and those of a timed pass over JPEG files."""


def rows(effort: Effort) -> Iterator[Row]:
    """One operator after a source that costs next to nothing, then the stage in a pipeline that decodes JPEG files."""
    xs = [x.movedim(1, -1).contiguous() for x in batches(effort.shapes[1], torch.uint8)]
    side = xs[0].shape[1]
    mix = ad.CutMix(box="inside", num_classes=CLASSES, seed=0)
    for name, ours, theirs, target in (
        ("erase", stage(ad.RandomErasing.preset("torchvision", p=1.0, seed=0)), erase, SAME),
        ("grid_mask", stage(ad.GridMask((side // 8, side // 2), seed=0)), grid_mask(side), FAR_LESS),
        (CUTMIX, stage(mix), cutmix(side), FAR_LESS),
    ):
        yield _against(name, ours, theirs, xs, effort, target=target, peer=f"DALI {name}")
    yield _against(FLOOR, idle, cutmix(side), xs, effort, peer=f"DALI {CUTMIX}")
    yield from _from_files(effort)


def stage(t: ad.Transform, inplace: bool = False) -> Step:
    """Ours; erasing hands its labels on."""
    step = ad.to_dali(t, padded=True, inplace=inplace)
    return lambda images, labels, keys: step(images, labels, keys=keys)


def erase(images: Node, labels: Node, keys: Node) -> tuple[Node, ...]:
    """A rectangle of a random place and size, as torchvision draws it but for the fit."""
    from nvidia.dali import fn, math

    area, ratio = fn.random.uniform(range=[0.02, 0.33]), math.exp(fn.random.uniform(range=[-1.2, 1.2]))
    sides = fn.stack(math.sqrt(area * ratio), math.sqrt(area / ratio))
    corner = fn.random.uniform(range=[0.0, 1.0], shape=[2]) * (1.0 - sides)
    return fn.erase(images, anchor=corner, shape=sides, normalized=True, axis_names="HW"), labels


def grid_mask(side: int) -> Step:
    """The paper's draws: period, offset and angle."""

    def step(images: Node, labels: Node, keys: Node) -> tuple[Node, ...]:
        from nvidia.dali import fn, types

        tile = fn.random.uniform(range=[side // 8, side // 2], dtype=types.DALIDataType.INT32)
        shift = [fn.random.uniform(range=[0.0, float(side)]) for _ in range(2)]
        angle = fn.random.uniform(range=[0.0, 2 * np.pi])
        return fn.grid_mask(images, tile=tile, ratio=0.4, angle=angle, shift_x=shift[0], shift_y=shift[1]), labels

    return step


def cutmix(side: int) -> Step:
    """What a DALI user writes by hand: a box of another sample pasted, and labels by its area."""

    def step(images: Node, labels: Node, keys: Node) -> tuple[Node, ...]:
        from nvidia.dali import fn, math, types

        other = fn.batch_permutation(no_fixed_points=True)
        share = math.sqrt(1.0 - fn.random.beta(alpha=1.0, beta=1.0))
        box = fn.cast(fn.stack(share, share) * float(side), dtype=types.DALIDataType.INT32)
        room = fn.cast(side - box, dtype=types.DALIDataType.FLOAT)
        corner = fn.cast(fn.random.uniform(range=[0.0, 1.0], shape=[2]) * room, dtype=types.DALIDataType.INT32)
        anchors = fn.stack(corner * 0, corner)
        pasted = fn.multi_paste(
            *(images, fn.permute_batch(images, indices=other)),
            in_anchors=anchors,
            out_anchors=anchors,
            shapes=fn.stack(box * 0 + side, box),
            output_size=[side, side],
        )
        lost = fn.cast(fn.reductions.max(box) * fn.reductions.min(box), dtype=types.DALIDataType.FLOAT) / float(
            side * side
        )
        target = fn.one_hot(labels, num_classes=CLASSES)
        return pasted, target * (1.0 - lost) + fn.permute_batch(target, indices=other) * lost

    return step


def idle(images: Node, labels: Node, keys: Node, inplace: bool = False) -> tuple[Node, ...]:
    """What no stage can be without: a copy of the images, if they stay, a Python function that is handed the batch and
    says its shapes, and soft labels, which go on as it got them; DALI copies its small outputs once more."""
    from nvidia.dali import fn
    from nvidia.dali.python_function_plugin import ArrayToDLTensor, DLTensorToArray

    def look(images: list[Any], target: Any, keys: Any) -> tuple[Any, Any]:
        shape = np.array(DLTensorToArray(images[0]).shape)
        return [ArrayToDLTensor(shape) for _ in images], target

    copied = images if inplace else fn.copy(images, preserve=True)
    target = fn.one_hot(labels, num_classes=CLASSES)
    done: Any = fn.dl_tensor_python_function(
        *(copied, target, keys), function=look, batch_processing=True, num_outputs=2
    )
    return fn.reshape(copied, shape=done[0]), done[1]


def nothing(images: Node, labels: Node, keys: Node) -> tuple[Node, ...]:
    return images, labels


def source(images: Node, labels: Node, keys: Node) -> tuple[Node, ...]:
    """Without the images: DALI would copy them if they went out as they came in, and all others make their own."""
    return images.shape(), labels


def _against(name: str, ours: Step, theirs: Step, xs: list[torch.Tensor], effort: Effort, **given: Any) -> Row:
    turn = itertools.count()
    pipes = {n: _fed(step, xs, turn) for n, step in (("ours", ours), ("theirs", theirs), ("source", source))}
    out = torch.empty_like(xs[0])
    copy = in_turn([partial(out.copy_, x) for x in xs], turn)
    seconds = race({"copy_": copy} | {n: p.run for n, p in pipes.items()}, effort)
    net = {n: np.maximum(seconds[n] - np.nanmedian(seconds["source"]), 1e-6) for n in ("ours", "theirs")}
    whole = f"whole pipelines: {micros(seconds['ours']):.0f} and {micros(seconds['theirs']):.0f} µs"
    given = {"name": name, "state": "HWC, less the source", "note": f"{whole}, {len(xs)} batches in turn", **given}
    return row(net | {"copy_": seconds["copy_"]}, xs[0].movedim(-1, 1), section="hosts", **given)


def _fed(step: Step, xs: list[torch.Tensor], turn: Iterator[int]) -> Any:
    """A pipeline that is handed the batch whose turn it is, and runs when it is asked to, without prefetching."""
    from nvidia.dali import fn
    from nvidia.dali.pipeline import Pipeline

    arrays, n = [x.numpy() for x in xs], len(xs[0])
    classes, ids = np.arange(n, dtype=np.int32)[:, None], np.arange(n)[:, None]
    pipe: Any = Pipeline(n, THREADS, None, seed=0, exec_async=False, exec_pipelined=False, prefetch_queue_depth=1)
    with pipe:
        nodes = [
            fn.external_source(values, no_copy=True, layout=layout)
            for values, layout in (
                (lambda: arrays[next(turn) % len(arrays)], "HWC"),
                (lambda: classes, None),
                (lambda: ids, None),
            )
        ]
        pipe.set_outputs(*step(nodes[0], nodes[1], nodes[2]))
    pipe.build()
    return pipe


def _from_files(effort: Effort) -> Iterator[Row]:
    """Images per second from JPEG files as DALI runs by default, and the time that a stage adds: in place, for nothing
    else reads the crops."""
    steps: dict[str, Step] = {
        NOTHING: nothing,
        AGAIN: nothing,
        FLOOR: partial(idle, inplace=True),
        "RandomErasing": stage(ad.RandomErasing.preset("torchvision", p=1.0, seed=0), inplace=True),
        "GridMask": stage(ad.GridMask(seed=0), inplace=True),
        "CutMix": stage(ad.CutMix(num_classes=CLASSES, seed=0), inplace=True),
    }
    with tempfile.TemporaryDirectory() as folder:
        paths = photographs.write(Path(folder), effort.photographs)
        pipes = {name: _decoding(paths, step) for name, step in steps.items()}
        work: dict[str, list[float]] = {name: [] for name in steps}
        turns = {name: lambda name=name, pipe=pipe: _pass(pipe, work[name]) for name, pipe in pipes.items()}
        seconds = passes(turns, effort)
        processor = {name: np.array(w) for name, w in work.items()}
        for name in steps:
            judged = name not in (NOTHING, AGAIN, FLOOR)
            yield Row(
                *("hosts", name, f"DALI, JPEG files, {THREADS} threads, in place", f"3×{SIZE}×{SIZE}", "uint8"),
                value=BATCH * BATCHES / undisturbed(seconds[name]),
                unit="images/s",
                share=None if name == NOTHING else _cost(seconds, name),
                goal="share" if judged else None,
                target=END_TO_END if judged else None,
                note="" if name == NOTHING else f"processor time {_cost(processor, name):+.1%}",
            )


def _decoding(paths: list[Path], step: Step) -> Any:
    from nvidia.dali import fn
    from nvidia.dali.pipeline import Pipeline

    pipe: Any = Pipeline(BATCH, THREADS, None, seed=0, prefetch_queue_depth=AHEAD)
    with pipe:
        jpegs, keys = fn.readers.file(
            files=[str(p) for p in paths], labels=list(range(len(paths))), random_shuffle=True, pad_last_batch=True
        )
        crops = fn.random_resized_crop(fn.decoders.image(jpegs), size=SIZE)
        pipe.set_outputs(*step(crops, keys % 10, keys))
    pipe.build()
    pipe.schedule_run()  # the first time it asks for all batches ahead
    for _ in range(AHEAD):
        pipe.share_outputs()
        pipe.release_outputs()
    return pipe


def _cost(times: Mapping[str, np.ndarray], name: str) -> float:
    """The share that a stage adds, as the median of the rounds, each against both pipelines without one in that round;
    of a busy machine's noise this leaves half as much as a comparison of the fastest passes.

    Example:
        >>> _cost({NOTHING: np.array([1.0, 2.0]), AGAIN: np.array([3.0, 2.0]), "x": np.array([2.5, 3.0])}, "x")
        0.375
    """
    plain = times[NOTHING] if name == AGAIN else (times[NOTHING] + times[AGAIN]) / 2
    return float(np.median(times[name] / plain)) - 1


def _pass(pipe: Any, work: list[float]) -> float:
    """Seconds of a pass that begins and ends with nothing under way: what one prefetches would slow the next one.

    The time of all processors goes to ``work``. Other programs change it less, but it doesn't tell who waits for whom.
    """
    start, processor = time.perf_counter(), time.process_time()
    for _ in range(AHEAD):
        pipe.schedule_run()
    for done in range(BATCHES):
        pipe.share_outputs()
        pipe.release_outputs()
        if done + AHEAD < BATCHES:
            pipe.schedule_run()
    work.append(time.process_time() - processor)
    return time.perf_counter() - start
