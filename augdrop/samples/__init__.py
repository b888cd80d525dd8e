"""Samples: a transform's inputs taken apart, whatever their structure, and put together again."""

from augdrop.samples.batch import Batch, Group
from augdrop.samples.unpacking import unpack

__all__ = ["Batch", "Group", "unpack"]
