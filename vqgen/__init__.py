"""vqgen: two-stage image generation, with the scan order between the stages as a first-class choice."""

__version__ = "0.1.0"
