"""Folders of small photographs, and the command on them."""

import json

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from augdrop.cli import main

TEMPLE, FLOWER = (np.asarray(image) for image in load_sample_images().images)


def crop(of, height, width, at=0):
    """A piece of a photograph: real pixels, few of them."""
    return np.ascontiguousarray(of[100 + at : 100 + at + height, 150 + at : 150 + at + width])


def class_folders(folder, each=3, suffix="png", sizes=((48, 64), (40, 40), (64, 48))):
    for name, photo in (("temple", TEMPLE), ("flower", FLOWER)):
        (folder / name).mkdir(parents=True)
        for i in range(each):
            Image.fromarray(crop(photo, *sizes[i % len(sizes)], at=7 * i)).save(folder / name / f"{i}.{suffix}")
    return folder


def contents(folder, less=()):
    """All files by name, as bytes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path.name not in less}


def records(folder):
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return {record["output"]: record for record in map(json.loads, lines)}


def augdrop(*arguments):
    return main([str(argument) for argument in arguments])


def apply(source, out, *arguments):
    return augdrop("apply", source, out, "--workers", 1, *arguments)


def pixels(path):
    with Image.open(path) as image:
        return np.array(image)
