"""Codebook use, reconstruction and likelihood: what training and evaluation report."""

from vqgen.metrics.codebook import CodebookUsage, CodebookUse, codebook_use
from vqgen.metrics.likelihood import Likelihood, likelihood
from vqgen.metrics.reconstruction import psnr

__all__ = ["CodebookUsage", "CodebookUse", "Likelihood", "codebook_use", "likelihood", "psnr"]
