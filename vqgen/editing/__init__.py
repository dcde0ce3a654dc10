"""Images that are known in part: filling holes, drawing on beyond the edge, and pictures larger than trained."""

from vqgen.editing.blending import blend
from vqgen.editing.completion import complete_codes
from vqgen.editing.completion_masked import complete_masked
from vqgen.editing.extension import FILLS, Extension, extend, fill_unknown
from vqgen.editing.inpainting import BLENDS, canvas_around, inpaint
from vqgen.editing.known_first import KnownFirst, known_first
from vqgen.editing.larger import complete_larger, order_of_size
from vqgen.editing.masks import grid_mask
from vqgen.editing.placement import WindowRun
from vqgen.editing.seams import SeamSteps, seam_steps, window_map
from vqgen.editing.windows import plan_windows

__all__ = [
    "BLENDS",
    "FILLS",
    "Extension",
    "KnownFirst",
    "SeamSteps",
    "WindowRun",
    "blend",
    "canvas_around",
    "complete_codes",
    "complete_larger",
    "complete_masked",
    "extend",
    "fill_unknown",
    "grid_mask",
    "inpaint",
    "known_first",
    "order_of_size",
    "plan_windows",
    "seam_steps",
    "window_map",
]
