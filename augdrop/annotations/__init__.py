"""Annotations: boxes, masks and keypoints follow a plan, for erasing and for mixing under one rule."""

from augdrop.annotations.follow import erase, mix
from augdrop.annotations.members import Policies, follow
from augdrop.annotations.objects import Objects
from augdrop.annotations.policy import ERASING, MIXING, Policy

__all__ = ["ERASING", "MIXING", "Objects", "Policies", "Policy", "erase", "follow", "mix"]
