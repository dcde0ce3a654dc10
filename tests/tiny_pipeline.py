"""An untrained pipeline small enough to draw from in a moment, shaped like the quick start's."""

import torch

from vqgen import Pipeline, Prior, Tokenizer
from vqgen.data.openmoji_table import select
from vqgen.orders import order_policy
from vqgen.quantizers import EMAVectorQuantizer
from vqgen.tokenizer import Decoder, Encoder

GROUPS = tuple(dict.fromkeys(emoji.group for emoji in select()))


def make_tiny_pipeline(order: str = "raster", class_names: tuple[str, ...] = GROUPS) -> Pipeline:
    """64 x 64 images of 8 x 8 codes, with OpenMoji's groups as classes; the same weights at every call."""
    body = {"channels": 8, "multipliers": (1, 1), "patch": 4, "blocks": 1, "attention_at": (), "latent_channels": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tokenizer = Tokenizer(Encoder(**body), Decoder(**body), EMAVectorQuantizer(codebook_size=128, dim=4))
        prior = Prior(128, height=8, width=8, num_classes=len(class_names), dim=16, depth=1, heads=2)
        # A fresh prior finds all codes about equally likely, whatever the class; this one has preferences.
        torch.nn.init.normal_(prior.head.weight)
        torch.nn.init.normal_(prior.conditioner.embedding.weight)
    return Pipeline(tokenizer, prior, order_policy(order, height=8, width=8), class_names)
