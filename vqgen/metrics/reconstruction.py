"""How close reconstructions are to their images."""

from torchmetrics.image import PeakSignalNoiseRatio


def psnr() -> PeakSignalNoiseRatio:
    """Peak signal-to-noise ratio of images in [-1, 1], in dB: computed per image, then averaged over images.

    `10 log10(2^2 / mean (x - y)^2)`; a value of 20 dB is a root-mean-square error of 10% of the range.

    Returns:
        A torchmetrics metric: `update(reconstructions, images)` with (b, c, H, W), `compute()`.

    Example:
        >>> import torch
        >>> metric = psnr()
        >>> metric.update(torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 0.2))
        >>> round(metric.compute().item(), 2)
        20.0
    """
    return PeakSignalNoiseRatio(data_range=(-1.0, 1.0), dim=(1, 2, 3), reduction="elementwise_mean")
