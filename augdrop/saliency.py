"""Score maps: where an image is interesting, by its spectrum or by a network's features."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from augdrop.checks import check_whole
from augdrop.errors import fail
from augdrop.kernels.spectrum import residual_energy


def spectral_residual(images: Tensor, size: int = 64) -> Tensor:
    """Saliency without weights: what the log spectrum of an image has beyond its own local mean.

    Args:
        images: ``[B, C, H, W]`` or ``[B, T, C, H, W]`` (frames are averaged), any real dtype.
        size: side of the small grey image that is analysed, in pixels, at least 2; the paper's is 64.

    Returns:
        float32 ``[B, size, size]``, not negative.

    Source:
        Hou & Zhang (2007), "Saliency detection: a spectral residual approach", CVPR.

    Example:
        >>> x = (torch.arange(64) * 0.8).sin().expand(1, 3, 64, 64).clone()  # upright waves …
        >>> x[:, :, 40:48, 8:16] = x[:, :, 40:48, 8:16].mT  # … but for a patch of level ones
        >>> row, column = divmod(spectral_residual(x).argmax().item(), 64)
        >>> 36 <= row < 52, 4 <= column < 20
        (True, True)
    """
    check_whole("spectral_residual: size", size, 2)
    weights = _gaussian(size / 25, size - 1, images.device)
    if images.device.type == "cpu":
        return residual_energy(images, size, weights.numpy())
    return _residual(images, size, weights)


def _residual(images: Tensor, size: int, weights: Tensor) -> Tensor:
    """`augdrop.kernels.spectrum.residual_energy` on another device."""
    small = F.adaptive_avg_pool2d(images.to(torch.float32).flatten(1, -3).mean(1, keepdim=True), size)
    spectrum = torch.fft.fft2(small)
    log_amplitude = torch.log(spectrum.abs() + 1e-8)
    # The spectrum is periodic, and so is its local mean.
    local_mean = F.avg_pool2d(F.pad(log_amplitude, (1, 1, 1, 1), mode="circular"), 3, stride=1)
    energy = torch.fft.ifft2(spectrum * torch.exp(-local_mean)).real.square()
    radius = len(weights) // 2
    padded = F.pad(energy, (radius,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))[:, 0]


def _gaussian(sigma: float, most: int, device: torch.device) -> Tensor:
    """Weights that add up to 1, as far as three sigma, and no farther than ``most``."""
    radius = min(max(1, round(3 * sigma)), most)
    x = torch.arange(-radius, radius + 1, dtype=torch.float32, device=device)
    weights = torch.exp(-x.square() / (2 * sigma * sigma))
    return weights / weights.sum()


class FeatureMean(nn.Module):
    """Score map of a backbone: the mean over channels of its last feature map, without gradients and in eval mode.

    Args:
        backbone: a module from images to ``[B, C, h, w]``, such as a torchvision ResNet without pooling and classifier;
            a module with ``fc`` and ``avgpool`` is cut there.
        mean, std: what the backbone expects its input, in [0, 1], to be normalised by; None leaves images as they are.

    Example:
        >>> from torchvision.models import resnet18
        >>> FeatureMean(resnet18())(torch.rand(2, 3, 224, 224)).shape
        torch.Size([2, 7, 7])
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self,
        backbone: nn.Module,
        mean: tuple[float, ...] | None = (0.485, 0.456, 0.406),
        std: tuple[float, ...] | None = (0.229, 0.224, 0.225),
    ) -> None:
        super().__init__()
        if hasattr(backbone, "fc") and hasattr(backbone, "avgpool"):
            backbone = nn.Sequential(*[m for name, m in backbone.named_children() if name not in ("avgpool", "fc")])
        self.backbone = backbone.eval().requires_grad_(False)
        self.register_buffer("mean", None if mean is None else torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", None if std is None else torch.tensor(std).view(1, -1, 1, 1))

    def train(self, mode: bool = True) -> FeatureMean:
        """Stay in eval mode: batch statistics of augmented images would drift into the backbone."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        x = images if images.is_floating_point() else images.to(torch.float32) / torch.iinfo(images.dtype).max
        if self.mean is not None and self.std is not None:
            x = (x - self.mean) / self.std
        features = self.backbone(x)
        if not isinstance(features, Tensor) or features.ndim != 4:
            raise fail(
                "FeatureMean: backbone",
                got=f"{tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__}",
                expected="a feature map [B, C, h, w]",
                fix="Cut the backbone before its pooling.",
            )
        return features.mean(1)
