"""Network: weights, the network at work on a film, frames fetched ahead, the pass against time."""
