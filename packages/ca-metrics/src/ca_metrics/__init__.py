"""PSNR, SSIM, LPIPS, CDC, warping error and colorfulness of video, held against their references."""

from ca_metrics.accumulate import ClipMean
from ca_metrics.color import Colorfulness, colorfulness
from ca_metrics.distribution import CDC, cdc
from ca_metrics.lpips_weights import LPIPSSourceError, write_lpips_weights
from ca_metrics.perceptual import LPIPS, LPIPSUnavailable, load_lpips, lpips
from ca_metrics.pixel import PSNR, psnr
from ca_metrics.structural import SSIM, ssim
from ca_metrics.temporal import WarpingError, visibility_mask, warping_error
from ca_metrics.video import METRICS, ClipScorer, ClipScores, mean_scores, score_clip

__all__ = [
    "CDC",
    "LPIPS",
    "METRICS",
    "PSNR",
    "SSIM",
    "ClipMean",
    "ClipScorer",
    "ClipScores",
    "Colorfulness",
    "LPIPSSourceError",
    "LPIPSUnavailable",
    "WarpingError",
    "cdc",
    "colorfulness",
    "load_lpips",
    "lpips",
    "mean_scores",
    "psnr",
    "score_clip",
    "ssim",
    "visibility_mask",
    "warping_error",
    "write_lpips_weights",
]
