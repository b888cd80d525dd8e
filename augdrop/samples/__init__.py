"""Samples: a transform's inputs taken apart, whatever their structure, and put together again."""

from augdrop.samples.batch import Batch, Group, unpack

__all__ = ["Batch", "Group", "unpack"]
