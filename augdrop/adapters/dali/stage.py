"""Stage: a transform between a pipeline's operators, or between the calls of dynamic mode."""

from __future__ import annotations

from typing import Any

from nvidia.dali.data_node import DataNode

from augdrop.adapters.dali import dynamic, graph
from augdrop.adapters.dali.task import Task
from augdrop.errors import fail


class Stage(Task):
    """What `to_dali` returns; see there. It keeps nothing from batch to batch, so there is nothing to checkpoint."""

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of calls that bring none.

        A pipeline prefetches, so some batches ahead have been planned by then. For an epoch that begins with the right
        batch, let it ride as data (see `augdrop.adapters.dali`).
        """
        self.transform.set_epoch(epoch)

    def __call__(
        self,
        images: Any,
        labels: Any = None,
        *,
        keys: Any = None,
        epoch: Any = None,
        boxes: Any = None,
        masks: Any = None,
        keypoints: Any = None,
        scores: Any = None,
        layout: str | None = None,
    ) -> Any:
        """Add the stage to the graph, or in dynamic mode carry it out; see `to_dali`."""
        named = {"labels": labels, "boxes": boxes, "masks": masks, "keypoints": keypoints, "scores": scores}
        given = {name: value for name, value in named.items() if value is not None}
        if keys is None:
            raise fail(
                "to_dali: keys",
                got="none",
                expected="keys=, an integer that names each sample",
                fix="Let the reader's sample numbers ride along as data, or give fn.get_property(jpegs, "
                "key='source_info') of its files.",
            )
        self.geometry.check(wanted=boxes is not None)
        t = self.transform
        if scores is not None and not t.uses_pixels:
            raise fail("to_dali: scores", got=type(t).__name__, expected="an attentive method", fix="Leave it out.")
        run = graph.add if isinstance(images, DataNode) else dynamic.run
        return run(self, images, given, keys, epoch, layout)
