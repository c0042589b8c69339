"""Evaluation: systems scored on clips, their tables and reports, and the commands `evaluate` and `prepare`."""
