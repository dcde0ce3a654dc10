"""Drawing codes from a prior: filtering, guidance, per-image noise, and the loop over steps."""

from vqgen.sampling.autoregressive import sample_autoregressive
from vqgen.sampling.compiled import compile_for_sampling
from vqgen.sampling.filtering import draw_codes, filter_logits
from vqgen.sampling.guidance import GUIDANCE_RAMPS, guidance_ramp, guide
from vqgen.sampling.noise import image_uniforms

__all__ = [
    "GUIDANCE_RAMPS",
    "compile_for_sampling",
    "draw_codes",
    "filter_logits",
    "guidance_ramp",
    "guide",
    "image_uniforms",
    "sample_autoregressive",
]
