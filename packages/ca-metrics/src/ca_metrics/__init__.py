"""PSNR, SSIM, LPIPS, CDC, warping error and colorfulness of video, held against their references."""

__all__: list[str] = []
