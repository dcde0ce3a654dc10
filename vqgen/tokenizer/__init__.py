"""Stage 1: images to grids of codes and back."""

from vqgen.tokenizer.decoder import Decoder
from vqgen.tokenizer.encoder import Encoder
from vqgen.tokenizer.tokenizer import Reconstruction, Tokenizer, grid_size

__all__ = ["Decoder", "Encoder", "Reconstruction", "Tokenizer", "grid_size"]
