"""How close reconstructions are to their images."""

from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure


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


def ssim() -> StructuralSimilarityIndexMeasure:
    """Structural similarity of images in [-1, 1], per image and then averaged over images.

    Local means, variances and the covariance under a Gaussian window of standard deviation 1.5 pixels, reflected at the
    borders; 1 for equal images, around 0 for unrelated ones.

    Returns:
        A torchmetrics metric: `update(reconstructions, images)` with (b, c, H, W), `compute()`.

    Example:
        >>> import torch
        >>> metric, images = ssim(), torch.rand(2, 3, 16, 16) * 2 - 1
        >>> metric.update(images, images)
        >>> round(metric.compute().item(), 4)
        1.0

    Source: Wang et al., Image quality assessment: from error visibility to structural similarity, 2004.
    """
    return StructuralSimilarityIndexMeasure(data_range=(-1.0, 1.0), reduction="elementwise_mean")
