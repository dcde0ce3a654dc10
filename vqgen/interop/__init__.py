"""Other projects' tokenizers as ours: state dicts mapped name by name, strictly."""

from vqgen.interop.dalle import from_dalle
from vqgen.interop.diffusers import from_diffusers
from vqgen.interop.llamagen import from_llamagen
from vqgen.interop.maskgit import from_maskgit
from vqgen.interop.sources import SOURCES, Source, import_tokenizer
from vqgen.interop.taming import from_taming
from vqgen.interop.transfer import Transfer
from vqgen.interop.weights_file import read_weights

__all__ = [
    "SOURCES",
    "Source",
    "Transfer",
    "from_dalle",
    "from_diffusers",
    "from_llamagen",
    "from_maskgit",
    "from_taming",
    "import_tokenizer",
    "read_weights",
]
