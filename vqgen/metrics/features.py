"""The networks through which FID and KID look at images, by name or as a module of your own."""

import hashlib
import importlib
import re
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vqgen.losses import Lite0

LITE0_SIZE = 224  # the side of the images it was trained on


class Inception(nn.Module):
    """The Inception-v3 of the published FIDs, ported from TensorFlow; its weights are downloaded at first use.

    Attributes:
        num_features: 2048.

    Raises:
        ModuleNotFoundError: if the extra `fid` is not installed.
        FileNotFoundError: if the weights are neither here nor to be had.

    Source: Heusel et al., GANs trained by a two time-scale update rule (1706.08500); ported by torch-fidelity.
    """

    num_features = 2048

    def __init__(self) -> None:
        super().__init__()
        try:
            fidelity = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "the Inception features need the package torch-fidelity, which is not installed; "
                "run `pip install 'vqgen[fid]'`, or take --extractor lite0"
            ) from None
        from torchmetrics.image.fid import NoTrainInceptionV3

        try:
            self.network = NoTrainInceptionV3("inception-v3-compat", [str(self.num_features)])
        except OSError as error:  # also URLError: no network, or the file is gone
            url = fidelity.URL_INCEPTION_V3
            raise FileNotFoundError(
                f"Inception's weights could not be downloaded ({error}); fetch {url} elsewhere and put it at "
                f"{torch.hub.get_dir()}/checkpoints/{url.rpartition('/')[2]}, or take --extractor lite0, which needs "
                "no download"
            ) from error

    def forward(self, images: Float[Tensor, "b c H W"]) -> Float[Tensor, "b d"]:
        """Features of images.

        Args:
            images: (b, 1 or 3, H, W) in [-1, 1].

        Returns:
            (b, 2048).
        """
        pixels = images.expand(-1, 3, -1, -1).add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8)
        return self.network(pixels)


FEATURE_EXTRACTORS: dict[str, Callable[[], nn.Module]] = {
    "lite0": lambda: Lite0(size=LITE0_SIZE),
    "inception": Inception,
}


def feature_extractor(name: str) -> nn.Module:
    """The network of a name, or of a class path.

    Args:
        name: `lite0` (EfficientNet-lite0, offline, of the extra `lite0`), `inception` (downloaded), or the import path
            of a module class that is built without arguments, maps images (b, c, H, W) in [-1, 1] to features (b, d),
            and has `num_features`, d.

    Returns:
        The network, in evaluation mode.

    Raises:
        ValueError: if the name is none of these.

    Example:
        >>> feature_extractor("torch.nn.Identity")
        Traceback (most recent call last):
        ...
        ValueError: torch.nn.Identity has no num_features, the width of its features; give it that attribute
    """
    if name in FEATURE_EXTRACTORS:
        return FEATURE_EXTRACTORS[name]().eval()
    module_name, _, class_name = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError):
        raise ValueError(
            f"unknown feature extractor {name!r}; expected one of: {', '.join(FEATURE_EXTRACTORS)}, "
            "or the import path of a module class, such as mypackage.MyNetwork"
        ) from None
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ValueError(f"expected {name} to be a class of modules (torch.nn.Module), got {found!r}")
    extractor = found()
    if not isinstance(getattr(extractor, "num_features", None), int):
        raise ValueError(f"{name} has no num_features, the width of its features; give it that attribute")
    return extractor.eval()


def metric_name(network: nn.Module) -> str:
    """What the names of metrics say of the network they look through: its class's name in snake case.

    Example:
        >>> metric_name(Lite0(pretrained=False)), metric_name(nn.AvgPool2d(2))
        ('lite0', 'avg_pool2d')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(network).__name__).lower()


def weights_hash(module: nn.Module) -> str:
    """Hash of all weights of a network, saved in its state dict or not: 16 hexadecimal digits.

    Example:
        >>> weights_hash(nn.Identity())
        'e3b0c44298fc1c14'
    """
    digest = hashlib.sha256()
    for name, tensor in sorted([*module.named_parameters(), *module.named_buffers()]):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
