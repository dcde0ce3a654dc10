"""Writes the golden folder that guards the format: run it only when the format changes on purpose.

`python tests/golden/make.py`
"""

import json
from pathlib import Path

import torch

from vqgen import Pipeline, Prior, Tokenizer
from vqgen.orders import order_policy
from vqgen.quantizers import EMAVectorQuantizer
from vqgen.tokenizer import Decoder, Encoder

HERE = Path(__file__).parent


def image() -> torch.Tensor:
    """One image without random numbers."""
    ramp = torch.linspace(-1, 1, 8)
    return torch.stack([ramp[None, :].expand(8, 8), ramp[:, None].expand(8, 8), (ramp[None] * ramp[:, None])])[None]


def main() -> None:
    torch.manual_seed(0)
    size = {"channels": 4, "multipliers": (1, 2), "latent_channels": 4, "blocks": 1, "attention_at": (2,)}
    tokenizer = Tokenizer(Encoder(**size), Decoder(**size), EMAVectorQuantizer(8, 3)).eval()
    prior = Prior(8, 4, 4, 3, dim=8, depth=1, heads=2).eval()
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    pipeline = Pipeline(tokenizer, prior, order_policy("hilbert", height=4, width=4), ("a", "b", "c"))
    pipeline.save_pretrained(HERE / "pipeline")
    result = pipeline.log_likelihood(image(), "b")
    expected = {"codes": tokenizer.encode(image())[0].tolist(), "nats": result.nats[0].tolist()}
    (HERE / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")


if __name__ == "__main__":
    main()
