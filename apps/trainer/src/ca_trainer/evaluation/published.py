"""Published figures of other methods, never measured here.

They stand in reports as marked rows, for orientation only: the paper does not say which frames were its
references, and BiSTNet's and ColorMNet's figures (exemplar = first frame) come from protocols of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ABLATIONS", "PAPER_ORDER", "PUBLISHED", "PublishedRow", "published_rows"]

PAPER = "ColorAlignNet paper"
UNSTATED = "references not stated"
FIRST_FRAME = "exemplar = first frame"


@dataclass(frozen=True)
class PublishedRow:
    """One printed row of a table.

    Args:
        method: name as printed.
        dataset: ``davis`` or ``videvo``.
        psnr: dB.
        ssim: in [0, 1].
        lpips: distance.
        cdc: nats (the tables print it in units of 1e-3).
        source: where it was printed.
        protocol: what that source says of its references.

    Example:
        >>> row = published_rows("davis")[0]
        >>> row.method, row.psnr, row.metrics["cdc"]
        ('DeepExemplar', 20.63, 0.004006)
    """

    method: str
    dataset: str
    psnr: float
    ssim: float
    lpips: float
    cdc: float
    source: str = PAPER
    protocol: str = UNSTATED

    @property
    def metrics(self) -> dict[str, float]:
        """The figures under the names that ``results.json`` uses."""
        return {"psnr": self.psnr, "ssim": self.ssim, "lpips": self.lpips, "cdc": self.cdc}


PUBLISHED: tuple[PublishedRow, ...] = (
    PublishedRow("DeepExemplar", "davis", 20.63, 0.846, 0.325, 4.006e-3),
    PublishedRow("DeOldify", "davis", 23.99, 0.885, 0.306, 4.901e-3),
    PublishedRow("DeepRemaster", "davis", 21.95, 0.848, 0.354, 5.098e-3),
    PublishedRow("AutoColor", "davis", 24.41, 0.915, 0.264, 3.734e-3),
    PublishedRow("TCVC", "davis", 25.17, 0.921, 0.239, 3.649e-3),
    PublishedRow("SVCNet", "davis", 25.71, 0.956, 0.257, 4.086e-3),
    PublishedRow("ColorAlignNet (paper)", "davis", 24.96, 0.930, 0.216, 3.629e-3),
    PublishedRow("BiSTNet", "davis", 34.02, 0.964, 0.043, 3.870e-3, "BiSTNet (PAMI 2024)", FIRST_FRAME),
    PublishedRow("ColorMNet", "davis", 35.77, 0.970, 0.035, 3.763e-3, "ColorMNet (ECCV 2024)", FIRST_FRAME),
    PublishedRow("DeepExemplar", "videvo", 20.63, 0.831, 0.348, 2.011e-3),
    PublishedRow("DeOldify", "videvo", 24.31, 0.895, 0.325, 3.134e-3),
    PublishedRow("DeepRemaster", "videvo", 21.88, 0.856, 0.358, 3.607e-3),
    PublishedRow("AutoColor", "videvo", 25.90, 0.925, 0.277, 1.668e-3),
    PublishedRow("TCVC", "videvo", 25.18, 0.929, 0.273, 1.629e-3),
    PublishedRow("SVCNet", "videvo", 26.30, 0.961, 0.289, 2.704e-3),
    PublishedRow("ColorAlignNet (paper)", "videvo", 25.46, 0.958, 0.263, 1.509e-3),
)

ABLATIONS: tuple[PublishedRow, ...] = (
    PublishedRow("Structure 1", "davis", 23.73, 0.921, 0.402, 4.225e-3),
    PublishedRow("Structure 2", "davis", 23.95, 0.915, 0.308, 4.128e-3),
    PublishedRow("Structure 3", "davis", 24.87, 0.934, 0.280, 4.357e-3),
    PublishedRow("Structure 4", "davis", 24.21, 0.913, 0.230, 4.323e-3),
    PublishedRow("ColorAlignNet (paper)", "davis", 24.96, 0.930, 0.216, 3.629e-3),
    PublishedRow("Structure 1", "videvo", 24.16, 0.939, 0.325, 1.807e-3),
    PublishedRow("Structure 2", "videvo", 25.40, 0.943, 0.336, 1.913e-3),
    PublishedRow("Structure 3", "videvo", 25.33, 0.946, 0.329, 1.746e-3),
    PublishedRow("Structure 4", "videvo", 24.87, 0.913, 0.367, 1.514e-3),
    PublishedRow("ColorAlignNet (paper)", "videvo", 25.46, 0.958, 0.263, 1.509e-3),
)

PAPER_ORDER: tuple[str, ...] = (
    "truth",
    "grey",
    "mean",
    "static",
    "flow",
    "DeepExemplar",
    "DeOldify",
    "DeepRemaster",
    "AutoColor",
    "TCVC",
    "SVCNet",
    "BiSTNet",
    "ColorMNet",
    "ColorAlignNet (paper)",
)
"""Rows of Tables 1 and 2 from top to bottom, truth and baselines above them; any other run (ours) comes below."""


def published_rows(dataset: str) -> list[PublishedRow]:
    """Printed rows of one data set, in the paper's order; none for a data set nobody printed.

    Args:
        dataset: name of the data set; only its first word counts, in any case (``DAVIS 2017 val``).

    Returns:
        The rows.

    Example:
        >>> len(published_rows("Videvo")), published_rows("my films")
        (7, [])
    """
    words = dataset.lower().replace("-", " ").replace("_", " ").split()
    return [row for row in PUBLISHED if words and row.dataset == words[0]]
