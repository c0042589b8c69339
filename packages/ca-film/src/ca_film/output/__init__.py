"""Output: work folder, rendering, encoding, segments, the joined file, coverage and sheets."""
