"""Gradient checkpointing: activations are computed again in the backward pass instead of being kept."""

from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

PARTS = ("encoder", "reference_encoder", "transfer", "alignment")


def rematerialize(model: nn.Module) -> None:
    """Wrap the parts of a ColorAlignNet, in place, so that each keeps its inputs only.

    Names in the state dict stay as they were.

    Args:
        model: the network, before it is brought to its device.
    """
    reconstruction = model.get_submodule("reconstruction")
    for parent, name in [(model, name) for name in PARTS] + [
        (reconstruction, name) for name, _ in reconstruction.named_children()
    ]:
        part = getattr(parent, name)
        if isinstance(part, nn.Module) and any(True for _ in part.parameters()):
            setattr(parent, name, checkpoint_wrapper(part))
