"""AugDrop: decide a drop once, apply it to pixels, labels, boxes, masks, keypoints, feature maps and tokens."""

__version__ = "0.1.0"
