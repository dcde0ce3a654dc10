"""Drawing codes from a prior: filtering, guidance, per-image noise, and the loop over steps or groups of them."""

from vqgen.sampling.autoregressive import sample_autoregressive
from vqgen.sampling.compiled import compile_for_sampling
from vqgen.sampling.confidence import CONFIDENCE_ORDERS, DrawnInOrder, sample_by_confidence
from vqgen.sampling.filtering import draw_codes, filter_logits
from vqgen.sampling.groups import sample_groups
from vqgen.sampling.guidance import GUIDANCE_RAMPS, guidance_ramp, guide
from vqgen.sampling.masked import UNKNOWN, sample_masked
from vqgen.sampling.noise import image_uniforms
from vqgen.sampling.precision import PRECISIONS, in_precision
from vqgen.sampling.schedule import GROUP_SCHEDULES, group_sizes

__all__ = [
    "CONFIDENCE_ORDERS",
    "GROUP_SCHEDULES",
    "GUIDANCE_RAMPS",
    "PRECISIONS",
    "UNKNOWN",
    "DrawnInOrder",
    "compile_for_sampling",
    "draw_codes",
    "filter_logits",
    "group_sizes",
    "guidance_ramp",
    "guide",
    "image_uniforms",
    "in_precision",
    "sample_autoregressive",
    "sample_by_confidence",
    "sample_groups",
    "sample_masked",
]
