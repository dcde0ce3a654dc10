"""Stage 1: images to grids of codes and back."""

from vqgen.tokenizer.decoder import Decoder
from vqgen.tokenizer.dvae import DVAEDecoder, DVAEEncoder
from vqgen.tokenizer.encoder import Encoder
from vqgen.tokenizer.tiled import decode_tiled, encode_tiled
from vqgen.tokenizer.tokenizer import Reconstruction, Tokenizer, grid_size
from vqgen.tokenizer.unit_range import UnitRangeEncoder
from vqgen.tokenizer.vit import ViTDecoder, ViTEncoder

__all__ = [
    "DVAEDecoder",
    "DVAEEncoder",
    "Decoder",
    "Encoder",
    "Reconstruction",
    "Tokenizer",
    "UnitRangeEncoder",
    "ViTDecoder",
    "ViTEncoder",
    "decode_tiled",
    "encode_tiled",
    "grid_size",
]
