"""References on both sides of a frame: the pass against time, blended into the forward one.

Without it colours drift until a frame whose colours are known, and jump there.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ca_model.colorize import Prediction, colorize_clip
from ca_model.frames import EncodedReferences, GivenColors
from ca_model.network import ColorAlignNet

# Most frames that a pass against time goes back, which bounds its memory.
REACH = 48
# Trust is averaged over so many pixels, and its least counts so much: a lost track is still worth a little.
TRUST_WINDOW, TRUST_FLOOR = 9, 0.02


def backward_windows(shots: Sequence[range], anchored: Iterable[int], reach: int = REACH) -> list[range]:
    """The stretches that a pass against time covers, each ending with a frame whose colours are known.

    A stretch begins after the cut, after the known frame before it, or `reach` frames earlier.

    Args:
        shots: of the film.
        anchored: numbers of the frames whose colours are known.
        reach: most frames in a stretch.

    Returns:
        The stretches, in order, of two frames or more.

    Example:
        >>> backward_windows([range(0, 100), range(100, 110)], [3, 80, 105], reach=10)
        [range(0, 4), range(71, 81), range(100, 106)]
    """
    numbers = sorted(anchored)
    windows = []
    for shot in shots:
        free = shot.start
        for index in (number for number in numbers if number in shot):
            windows.append(range(max(free, index + 1 - reach), index + 1))
            free = index + 1
    return [window for window in windows if len(window) > 1]


def blend_passes(
    forward: Float[Tensor, "2 h w"],
    backward: Float[Tensor, "2 h w"],
    share: float,
    trust: tuple[Float[Tensor, "1 h w"], Float[Tensor, "1 h w"]] | None = None,
) -> Float[Tensor, "2 h w"]:
    """Mix the colours of both passes: the nearer a known frame, and the better a pixel's track to it held, the more.

    `w = s t_b / ((1 - s) t_f + s t_b)`, with s the share by time and t the trust of each pass around the pixel.

    Args:
        forward, backward: ab of a frame.
        share: of the backward pass by time, 0 at the known frame before and 1 at the one that ends the stretch.
        trust: of the forward and the backward track (`Prediction.trust`); None: by time alone.

    Returns:
        The mixture.

    Example:
        >>> one, other = torch.zeros(2, 1, 1), torch.ones(2, 1, 1)
        >>> blend_passes(one, other, 0.25).unique().item()
        0.25
        >>> sure, lost = torch.ones(1, 1, 1), torch.zeros(1, 1, 1)
        >>> round(blend_passes(one, other, 0.25, (sure, lost)).unique().item(), 3)
        0.006
    """
    if trust is None:
        return torch.lerp(forward, backward, share)
    ahead, behind = (_around(one) + TRUST_FLOOR for one in trust)
    return torch.lerp(forward, backward, share * behind / ((1 - share) * ahead + share * behind))


def colorize_both_ways(
    model: ColorAlignNet,
    lightness: Iterable[Float[Tensor, "1 h w"]],
    references: EncodedReferences | Callable[[int], EncodedReferences] | Sequence[Float[Tensor, "3 _h _w"]],
    given: Mapping[int, GivenColors],
    *,
    reach: int = REACH,
) -> Iterator[Prediction]:
    """Colour one shot as `colorize_clip` does, and before every known frame against time as well, blended.

    At most `reach` frames and their predictions are held.

    Args:
        model: the network, in evaluation mode.
        lightness: L/50 - 1 of one frame after another, all of one size.
        references: as for `colorize_clip`.
        given: known colours by place in the clip.
        reach: most frames that the pass against time goes back.

    Yields:
        One prediction per frame, in order; of its attributes the ab is blended, the others are the forward pass's.

    Example:
        >>> from ca_model import create_model
        >>> known = {0: torch.zeros(2, 32, 48), 2: torch.zeros(2, 32, 48)}
        >>> film = [torch.zeros(1, 32, 48)] * 4
        >>> len(list(colorize_both_ways(create_model("tiny").eval(), film, [torch.zeros(3, 32, 48)], known)))
        4
    """
    device = next(model.parameters()).device
    if not isinstance(references, EncodedReferences) and not callable(references):
        with torch.no_grad():
            references = model.encode_references([still[None].to(device) for still in references])
    encoded = references
    seen: deque[Tensor] = deque()
    waiting: list[tuple[Tensor, Prediction]] = []
    last = max(given, default=-1)

    def noted() -> Iterator[Tensor]:
        for frame in lightness:
            seen.append(frame)
            yield frame

    for place, prediction in enumerate(colorize_clip(model, noted(), encoded, given=given)):
        waiting.append((seen.popleft(), prediction))
        if place > last:
            yield waiting.pop()[1]
        elif place in given:
            yield from _with_backward(model, waiting, encoded, given[place], place)
            waiting = []
        elif len(waiting) == reach:
            # No known frame is near enough to reach this one.
            yield waiting.pop(0)[1]
    yield from (prediction for _, prediction in waiting)


def _with_backward(
    model: ColorAlignNet,
    window: Sequence[tuple[Tensor, Prediction]],
    references: EncodedReferences | Callable[[int], EncodedReferences],
    known: GivenColors,
    last: int,
) -> Iterator[Prediction]:
    """The frames of a stretch that ends with a known one, blended with a pass against time from there."""
    if len(window) == 1:
        yield window[0][1]
        return
    there = (lambda place: references(last - place)) if callable(references) else references
    against = list(colorize_clip(model, (frame for frame, _ in reversed(window)), there, given={0: known}))
    for place, ((_, ahead), behind) in enumerate(zip(window, reversed(against), strict=True)):
        trust = None
        if ahead.trust is not None and behind.trust is not None:
            trust = ahead.trust, behind.trust
        share = (place + 1) / len(window)
        yield replace(ahead, ab=blend_passes(ahead.ab, behind.ab, share, trust))


def _around(trust: Float[Tensor, "1 h w"]) -> Float[Tensor, "1 h w"]:
    return F.avg_pool2d(trust[None], TRUST_WINDOW, 1, TRUST_WINDOW // 2, count_include_pad=False)[0]
