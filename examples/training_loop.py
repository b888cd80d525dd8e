"""A training loop in ten lines: CutMix on scikit-learn's digits.

Put any method in its place: ``ad.Mixup(num_classes=10)``, ``ad.RandomErasing()`` (labels then stay as they are), or
several with ``ad.OneOf([...])``.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import augdrop as ad

torch.manual_seed(0)
digits = load_digits()
x, y = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16, torch.tensor(digits.target)
train, test = TensorDataset(x[:1500], y[:1500]), (x[1500:], y[1500:])
model = nn.Sequential(
    *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)),
)

# The ten lines. keyed() names each sample by its index, so its cut depends on nothing but (seed, index, epoch).
mix = ad.CutMix(num_classes=10, seed=0)
data = ad.keyed(train, attach=True)
loader = DataLoader(data, batch_size=64, shuffle=True, collate_fn=ad.collate(mix))
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
for epoch in range(10):
    data.set_epoch(epoch)
    for images, targets in loader:  # [64, 1, 8, 8] and soft targets [64, 10]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), targets).backward()
        optimizer.step()

with torch.no_grad():
    accuracy = (model(test[0]).argmax(1) == test[1]).float().mean()
print(f"accuracy on {len(test[1])} held-out digits: {accuracy:.1%}")
