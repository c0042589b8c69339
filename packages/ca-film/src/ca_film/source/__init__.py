"""Source: films, folders, survey, shots, references, anchoring by image."""
