"""DAVIS as it is downloaded: the official folders and split files."""

from __future__ import annotations

from pathlib import Path

from ca_data.frames import FrameFolder
from ca_data.images import natural_order

__all__ = ["davis_clips", "davis_splits"]


def davis_splits(root: str | Path) -> dict[str, Path]:
    """The official split files of a DAVIS root.

    Args:
        root: the folder of `JPEGImages` and `ImageSets`, or its parent (archives unpack to `DAVIS/`).

    Returns:
        Files by `YEAR/NAME`, as `2017/val`, or `480p/val` in the release of 2016.

    Raises:
        ValueError: if the folder is no DAVIS root.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp()) / "DAVIS"
        >>> for folder in ("JPEGImages/480p", "ImageSets/2017"):
        ...     (root / folder).mkdir(parents=True)
        >>> _ = (root / "ImageSets/2017/val.txt").write_text("blackswan\\n")
        >>> list(davis_splits(root.parent))
        ['2017/val']
    """
    sets = _davis_root(Path(root)) / "ImageSets"
    files = sorted(sets.glob("*/*.txt"), key=lambda file: (file.parent.name, natural_order(file)))
    return {f"{file.parent.name}/{file.stem}": file for file in files}


def davis_clips(root: str | Path, split: str = "2017/val", *, resolution: str = "480p") -> list[FrameFolder]:
    """The clips of one official split, in its order.

    Args:
        root: the folder that holds `JPEGImages` and `ImageSets`, or its parent.
        split: `YEAR/NAME` of a split file; see `davis_splits`.
        resolution: folder below `JPEGImages`.

    Returns:
        The clips.

    Raises:
        ValueError: if the folder is no DAVIS root, the split is unknown, or a sequence it names is missing.
    """
    splits = davis_splits(root)
    if split not in splits:
        raise ValueError(f"split must be one of {', '.join(splits) or 'none there'}, got {split!r}")
    # 2017 lists sequences; 2016 lists frames and masks: /JPEGImages/480p/blackswan/00000.jpg ...
    entries = [line.split()[0] for line in splits[split].read_text().splitlines() if line.strip()]
    names = dict.fromkeys(Path(entry).parent.name if "/" in entry else entry for entry in entries)
    folder = _davis_root(Path(root)) / "JPEGImages" / resolution
    missing = [name for name in names if not (folder / name).is_dir()]
    if missing or not names:
        raise ValueError(
            f"split {split}: {folder} lacks {', '.join(missing) or 'all'}; "
            "download the archive of that resolution"
        )
    return [FrameFolder(folder / name) for name in names]


def _davis_root(root: Path) -> Path:
    for candidate in (root, root / "DAVIS"):
        if (candidate / "JPEGImages").is_dir() and (candidate / "ImageSets").is_dir():
            return candidate
    raise ValueError(
        f"folder {root} is no DAVIS root, expected JPEGImages and ImageSets in it; name the folder that "
        "the archive unpacked to"
    )
