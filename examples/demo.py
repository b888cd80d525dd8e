"""Drop regions from sample photographs: ``python examples/demo.py OUT_FOLDER``, or ``make demo``."""

import shlex
import subprocess
import sys
from pathlib import Path

from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_images

RECIPE = """\
# One of eight methods for each output. Options are the papers', but for what is written here.
oneof:
  - Cutout: {preset: imagenet}
  - RandomErasing: {area: [0.05, 0.3], p: 1.0}
  - CoarseDropout: {preset: many, fill: mean}
  - GridMask: {preset: small, fill: [124, 116, 104]}
  - HideAndSeek: {grid_sizes: [32, 44, 56], drop_ratio: 0.4}
  - DropBlock: {fill: blur}
  - CutMix
  - AttentiveCutMix: {alpha: 1.0}
"""
PREVIEW = "Cutout:imagenet,RandomErasing,CoarseDropout:many,GridMask:small,HideAndSeek,DropBlock,CutMix,AttentiveCutMix"


def photographs():
    """Photographs that scikit-image and scikit-learn bring along, by class."""
    temple, flower = load_sample_images().images
    left, right, _ = data.stereo_motorcycle()
    return {
        "cat": [data.chelsea()],
        "coffee": [data.coffee()],
        "flower": [flower],
        "galaxies": [data.hubble_deep_field()],
        "motorcycle": [left, right],
        "person": [data.astronaut(), data.camera()],
        "rocket": [data.rocket()],
        "temple": [temple],
    }


def augdrop(*arguments):
    """Run the command, show it, and return what it said last."""
    print(f"\n$ augdrop {shlex.join(map(str, arguments))}", flush=True)
    done = subprocess.run([sys.executable, "-m", "augdrop", *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    print(done.stdout, end="")
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout.splitlines()[-1]


def main(out):
    photos, dropped, recipe, preview = out / "photos", out / "dropped", out / "recipe.yaml", out / "preview.png"
    for name, pictures in photographs().items():
        (photos / name).mkdir(parents=True, exist_ok=True)
        for i, picture in enumerate(pictures):
            Image.fromarray(picture).save(photos / name / f"{i}.jpg", quality=95)
    recipe.write_text(RECIPE)
    print(f"Photographs are in {photos}. What is done to them is in {recipe}:\n\n{RECIPE}")
    print("The kernels are compiled when they are first used; that takes a minute, once on a machine.")

    said = augdrop("apply", photos, dropped, "--recipe", recipe, "--size", 224, "--copies", 24, "--overwrite")
    sources = [photos / "cat" / "0.jpg", photos / "person" / "0.jpg"]
    augdrop("preview", *sources, "--methods", PREVIEW, "--draws", 2, "--out", preview)

    print(f"""
Look at
  {preview}: eight methods on two photographs
  {dropped}: {said.partition(";")[0]}
  {dropped / "manifest.jsonl"}: what was done to each; 'augdrop replay {dropped} FOLDER' does it again
  {dropped / "labels.csv"}: soft labels, weighed by the pixels that can be seen""")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/demo.py OUT_FOLDER")
    main(Path(sys.argv[1]))
