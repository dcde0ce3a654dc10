"""What every parity test does: random weights into the peer, through the map, and the two compared."""

import torch
from torch import nn

from vqgen.tokenizer import Tokenizer

TOLERANCE = 1e-5


def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter a value that a wrong map would not find by chance, keeping the size of what passes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1
            parameter.copy_(noise * scale + (parameter if parameter.ndim == 1 else 0))
    return module.eval()


def images(side: int = 16, seed: int = 1) -> torch.Tensor:
    return torch.rand(2, 3, side, side + 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Equal to 1e-5 of the largest value."""
    assert found.shape == expected.shape
    assert expected.std() > 1e-3, "a constant would prove nothing"
    return bool((found - expected).abs().max() <= TOLERANCE * expected.abs().max().clamp(min=1))


def latents(tokenizer: Tokenizer, batch: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return tokenizer.to_quantizer(tokenizer.encoder(batch))


def raw(tokenizer: Tokenizer, codes: torch.Tensor) -> torch.Tensor:
    """Decoded images before they are clamped."""
    with torch.no_grad():
        return tokenizer.decoder(tokenizer.from_quantizer(tokenizer.quantizer.lookup(codes)))
