"""Save what was decided, load it elsewhere, and get the same images, bit for bit."""

import tempfile
from pathlib import Path

import torch

import augdrop as ad

images = torch.randint(0, 256, (8, 3, 64, 64), dtype=torch.uint8)
erase = ad.RandomErasing(p=1.0, seed=0)  # filled with noise: the plan has its keys, not its pixels
changed, plan = erase.with_plan(images, keys=range(100, 108), epoch=3)
print(plan)

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "plan.json"
    plan.save(path)
    print(f"saved: {path.stat().st_size} bytes of JSON for {images.numel()} bytes of images")
    loaded = ad.Plan.load(path)

again = erase.apply(images, loaded)
print("equal plans: ", loaded == plan)
print("equal images:", torch.equal(again, changed))

# Without any file: the same keys and epoch decide the same, alone as in a batch.
alone = erase(images[5], keys=105, epoch=3)
print("image 5 alone:", torch.equal(alone, changed[5]))
