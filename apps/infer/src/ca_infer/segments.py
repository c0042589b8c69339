"""Encoded stretches of film on disk: what is finished stays finished, whatever happens later.

A segment file is one JSON line (the codec's headers), then per packet a fixed header and its bytes.
Timestamps inside are picture numbers; the film's own are put on when everything is joined.  A file appears
under its name only when it is complete.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av

__all__ = ["EncodedPacket", "SegmentStore", "SegmentWriter"]

_HEADER = struct.Struct("<qIB")
_MAGIC = "ca-infer segment 1"


@dataclass(frozen=True)
class EncodedPacket:
    """One encoded picture.

    Args:
        picture: its number in the film.
        is_key: whether decoding can begin here.
        data: the codec's bytes.
    """

    picture: int
    is_key: bool
    data: bytes


class SegmentStore:
    """The segment files of one film in a folder.

    Args:
        folder: where they lie; made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, segment: range) -> Path:
        """File of a segment, named by its pictures."""
        return self.folder / f"{segment.start:08d}-{segment.stop:08d}.packets"

    def has(self, segment: range) -> bool:
        """Whether a segment is finished."""
        return self.path(segment).is_file()

    def extradata(self, segment: range) -> bytes:
        """The codec's headers, as the encoder of this segment gave them."""
        with self.path(segment).open("rb") as file:
            return bytes.fromhex(json.loads(file.readline())["extradata"])

    def packets(self, segment: range) -> Iterator[EncodedPacket]:
        """The packets of a segment in coding order, one at a time."""
        with self.path(segment).open("rb") as file:
            file.readline()
            while header := file.read(_HEADER.size):
                picture, size, is_key = _HEADER.unpack(header)
                yield EncodedPacket(picture, bool(is_key), file.read(size))

    def order(self, segment: range) -> list[int]:
        """Picture numbers in coding order, without reading the pictures."""
        numbers = []
        with self.path(segment).open("rb") as file:
            file.readline()
            while header := file.read(_HEADER.size):
                picture, size, _ = _HEADER.unpack(header)
                numbers.append(picture)
                file.seek(size, os.SEEK_CUR)
        return numbers


class SegmentWriter:
    """Encodes one segment to its file.

    Args:
        store: the film's segments.
        segment: the pictures that will come, in order.
        encoder: a fresh encoder, whose timestamps are picture numbers.
    """

    def __init__(self, store: SegmentStore, segment: range, encoder: av.VideoCodecContext) -> None:
        self._final = store.path(segment)
        self._growing = self._final.with_suffix(".growing")
        self._encoder = encoder
        encoder.open(strict=False)
        self._file = self._growing.open("wb")
        header = {"format": _MAGIC, "extradata": bytes(encoder.extradata or b"").hex()}
        self._file.write(json.dumps(header).encode() + b"\n")

    def write(self, frame: av.VideoFrame) -> None:
        """Encode the next picture."""
        self._store(self._encoder.encode(frame))

    def finish(self) -> None:
        """Empty the encoder and give the file its name."""
        self._store(self._encoder.encode(None))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._growing.replace(self._final)

    def abandon(self) -> None:
        """Close and remove what there is; for when the work stops before the segment is complete."""
        self._file.close()
        self._growing.unlink(missing_ok=True)

    def _store(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            self._file.write(_HEADER.pack(packet.pts, packet.size, packet.is_keyframe))
            self._file.write(bytes(packet))
