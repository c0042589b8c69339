"""Segments: encoded stretches of film on disk; what is finished stays finished, whatever happens later.

A segment file is one JSON line (the codec's headers), then per packet a fixed header and its bytes, then its seal.
Timestamps inside are frame numbers; the film's own are put on when everything is joined.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import av

from ca_film.output.sealed import SEAL_SIZE, GrowingFile
from ca_film.output.work import WorkFolder

__all__ = ["EncodedPacket", "SegmentStore", "SegmentWriter", "split_shots"]

_HEADER = struct.Struct("<qIB")
_MAGIC = "ca-film segment 1"
_KIND = "packets"


def split_shots(shots: Sequence[range], longest: int) -> list[range]:
    """Split shots into segments of bounded length; no segment spans a cut.

    Args:
        shots: ranges of frame numbers.
        longest: most frames in a segment.

    Returns:
        The segments, in order.

    Example:
        >>> split_shots([range(0, 5), range(5, 7)], 2)
        [range(0, 2), range(2, 4), range(4, 5), range(5, 7)]
    """
    return [
        range(first, min(first + longest, shot.stop))
        for shot in shots
        for first in range(shot.start, shot.stop, longest)
    ]


@dataclass(frozen=True)
class EncodedPacket:
    """An encoded frame.

    Args:
        frame: its number in the film.
        is_key: whether decoding can begin here.
        data: the codec's bytes.
    """

    frame: int
    is_key: bool
    data: bytes


class SegmentStore:
    """The segments of one film.

    Args:
        work: the folder that they lie in.
    """

    def __init__(self, work: WorkFolder) -> None:
        self._work = work

    def has(self, segment: range) -> bool:
        """Whether a segment is finished."""
        return self._work.has(_KIND, segment)

    def writer(self, segment: range, encoder: av.VideoCodecContext) -> SegmentWriter:
        """Begin a segment with a fresh encoder, whose timestamps are frame numbers."""
        encoder.open(strict=False)
        return SegmentWriter(self._work.growing(_KIND, segment), encoder)

    def put(self, segment: range, extradata: bytes, packets: Iterable[EncodedPacket]) -> None:
        """Take a segment whose packets are there already, in coding order."""
        file = self._work.growing(_KIND, segment)
        file.write(json.dumps({"format": _MAGIC, "extradata": extradata.hex()}).encode() + b"\n")
        for packet in packets:
            file.write(_HEADER.pack(packet.frame, len(packet.data), packet.is_key))
            file.write(packet.data)
        file.finish()

    def extradata(self, segment: range) -> bytes:
        """The codec's headers, as the encoder of this segment gave them."""
        with self._work.file(_KIND, segment).open("rb") as file:
            return bytes.fromhex(json.loads(file.readline())["extradata"])

    def packets(self, segment: range) -> Iterator[EncodedPacket]:
        """The packets of a segment in coding order, one at a time."""
        for file, frame, size, is_key in self._headers(segment):
            yield EncodedPacket(frame, is_key, file.read(size))

    def order(self, segment: range) -> list[int]:
        """Frame numbers in coding order, without reading the packets."""
        numbers = []
        for file, frame, size, _ in self._headers(segment):
            numbers.append(frame)
            file.seek(size, os.SEEK_CUR)
        return numbers

    def _headers(self, segment: range) -> Iterator[tuple[BinaryIO, int, int, bool]]:
        """Each packet's header, the file standing at its bytes, which the caller reads or passes over."""
        with self._work.file(_KIND, segment).open("rb") as file:
            end = os.fstat(file.fileno()).st_size - SEAL_SIZE
            file.readline()
            while file.tell() < end:
                frame, size, is_key = _HEADER.unpack(file.read(_HEADER.size))
                yield file, frame, size, bool(is_key)


class SegmentWriter:
    """Encodes one segment.

    Args:
        file: takes the packets.
        encoder: open, its timestamps being frame numbers.
    """

    def __init__(self, file: GrowingFile, encoder: av.VideoCodecContext) -> None:
        self._file, self._encoder = file, encoder
        header = {"format": _MAGIC, "extradata": bytes(encoder.extradata or b"").hex()}
        file.write(json.dumps(header).encode() + b"\n")

    def write(self, frame: av.VideoFrame) -> None:
        """Encode the next frame."""
        self._store(self._encoder.encode(frame))

    def finish(self) -> None:
        """Empty the encoder and complete the file."""
        self._store(self._encoder.encode(None))
        self._file.finish()

    def abandon(self) -> None:
        """Remove what there is; for when the work stops before the segment is complete."""
        self._file.abandon()

    def _store(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            self._file.write(_HEADER.pack(packet.pts, packet.size, packet.is_keyframe))
            self._file.write(bytes(packet))
