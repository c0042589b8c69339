"""Training: a run from recipe to weights, and the commands `train`, `bench` and `report`; `run.train` does it all."""
