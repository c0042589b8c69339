"""One frame after another through fixed buffers: on a GPU a captured graph, elsewhere the same calls one by one."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ca_model.frames import EncodedReferences
from ca_model.network import ColorAlignNet
from ca_model.streaming import FirstStep, NextStep, reference_tensors

# Calls before a capture: kernels are chosen and memory is laid out by then.
_WARM_UP = 3

Tensors = dict[str, Float[Tensor, "..."]]


class Stepper:
    """A shot coloured through fixed buffers: lightness in, ab and confidence out, the state between.

    On a GPU a frame is some thousand launches, and the launches take longer than the arithmetic; captured as one CUDA
    graph they are a single one. On a CPU the same steps are called, so that what is captured is what is tested.

    Args:
        network: a copying network with attention, as `for_inference` makes it, where it runs.
        references: what `encode_references` of that network made.
        compile: a function that makes a step faster, such as `torch.compile`; None: the step as it is.

    Raises:
        ModelError: for a network without explicit state.

    Example:
        >>> from ca_model import create_model, for_inference
        >>> model = for_inference(create_model("tiny"))
        >>> stepper = Stepper(model, model.encode_references([torch.zeros(1, 3, 32, 48)]))
        >>> ab, confidence = stepper(torch.zeros(1, 1, 32, 48))
        >>> ab.shape
        torch.Size([1, 2, 32, 48])
    """

    def __init__(
        self,
        network: ColorAlignNet,
        references: EncodedReferences,
        *,
        compile: Callable[[Callable[..., object]], Callable[..., object]] | None = None,
    ) -> None:
        self._first, following = FirstStep(network), NextStep(network)
        self._next: Callable[..., tuple[Tensor, Tensor, Tensors]] = (
            following if compile is None else compile(following)  # type: ignore[assignment]
        )
        self._references = reference_tensors(references)
        self._lightness: Tensor | None = None
        self._state: Tensors = {}
        self._out: tuple[Tensor, Tensor] | None = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._starts = True

    @torch.no_grad()
    def __call__(
        self, lightness: Float[Tensor, "1 1 h w"]
    ) -> tuple[Float[Tensor, "1 2 h w"], Float[Tensor, "1 1 h w"]]:
        """Colour the next frame.

        Args:
            lightness: L/50 - 1; all frames of one size.

        Returns:
            ab/110 and confidence, in buffers that the next call writes anew.
        """
        if self._starts:
            ab, confidence, state = self._first(lightness, self._references)
            self._keep(lightness, ab, confidence, state)
            self._starts = False
            return ab, confidence
        assert self._lightness is not None
        assert self._out is not None
        self._lightness.copy_(lightness)
        if self._lightness.device.type == "cuda":
            if self._graph is None:
                self._capture()
            assert self._graph is not None
            self._graph.replay()
        else:
            self._advance()
        return self._out

    def restart(self) -> None:
        """Begin another shot with the same references, at the same size."""
        self._starts = True

    def _keep(self, lightness: Tensor, ab: Tensor, confidence: Tensor, state: Tensors) -> None:
        """Write what the first frame left into the buffers, which are made for the first shot."""
        if self._lightness is None:
            self._lightness, self._out = lightness.clone(), (ab.clone(), confidence.clone())
            self._state = {name: value.clone() for name, value in state.items()}
        for name, value in state.items():
            self._state[name].copy_(value)

    def _advance(self) -> None:
        """One frame, from buffers to buffers."""
        assert self._out is not None
        ab, confidence, state = self._next(self._lightness, self._references, self._state)
        self._out[0].copy_(ab)
        self._out[1].copy_(confidence)
        # All is read before anything is overwritten: parts of the new state are parts of the old one.
        for name, value in {name: value.clone() for name, value in state.items()}.items():
            self._state[name].copy_(value)

    def _capture(self) -> None:
        """Record `_advance`, leaving the buffers as they are."""
        before = {name: value.clone() for name, value in self._state.items()}
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                self._advance()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._advance()
        for name, value in before.items():
            self._state[name].copy_(value)
