"""A film in work: what a restorer decides about it, kept in a folder, and the colours that follow from it."""
