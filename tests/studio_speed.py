"""How long the studio makes one wait: opening a film of two hours, a stroke, the first frame coloured again.

    python tests/studio_speed.py FOLDER

In FOLDER the script makes a film of two hours, 1920 x 1080, a keyframe every 250 frames (500 encoded frames, repeated
by remuxing), and opens it as the studio does, without a page. Printed are wall-clock seconds and the CPU seconds of
this process, which a busy machine does not change much, and the memory that opening added.
"""

import argparse
import resource
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from ca_film.project import Stroke
from ca_studio.desk import Desk

FRAMES, HOURS, RATE, GOP = 500, 2, 24, 250
SIZE = (1080, 1920)


class Clock:
    """Prints how long something took."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        print(f"{self.name:45} {wall:7.2f} s, {cpu:6.2f} s of CPU", flush=True)


def make_film(path: Path) -> Path:
    """Two hours of moving bars, encoded once and repeated."""
    part = path.with_name("part.mp4")
    rows, columns = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    pattern = ((np.sin(rows / 90.0) + np.sin(columns / 140.0)) * 40 + 128).astype(np.uint8)
    with av.open(str(part), "w") as made:
        stream = made.add_stream("libx264", rate=Fraction(RATE))
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = SIZE[1], SIZE[0], "yuv420p", GOP
        stream.options = {"preset": "ultrafast", "x264-params": "scenecut=0"}
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.roll(pattern, 3 * number, axis=1), format="gray")
            made.mux(stream.encode(frame.reformat(format="yuv420p")))
        made.mux(stream.encode())
    with av.open(str(part)) as given, av.open(str(path), "w") as made:
        source = given.streams.video[0]
        stream = made.add_stream_from_template(source)
        packets = [packet for packet in given.demux(source) if packet.size]
        length = round(Fraction(FRAMES, RATE) / source.time_base)
        times = [(packet.pts, packet.dts) for packet in packets]
        for turn in range(HOURS * 3600 * RATE // FRAMES):
            for packet, (pts, dts) in zip(packets, times, strict=True):
                packet.pts, packet.dts, packet.stream = pts + turn * length, dts + turn * length, stream
                made.mux(packet)
    return path


def memory() -> int:
    """Resident memory of this process now, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    film = folder / "two-hours.mp4"
    if not film.exists():
        make_film(film)
    warm = Desk(
        folder / "part.mp4"
    )  # libraries loaded and the network's weights read, as in a studio that runs
    warm.frame_jpeg(0, "grey")
    warm.close()
    before = memory()
    with Clock("open"):
        desk = Desk(film)
        desk.change(lambda project: project.with_cuts(range(FRAMES, len(desk), FRAMES)))
        desk.frame_jpeg(0, "grey")
    print(f"{'frames; memory of the open film':45} {len(desk):7d}; {(memory() - before) / 1e6:.0f} MB")
    middle = len(desk) // 2 + 200
    with Clock("a frame in the middle, 200 after a keyframe"):
        desk.frame_jpeg(middle, "grey")
    with Clock("the frame after it"):
        desk.frame_jpeg(middle + 1, "grey")
    desk.painting(middle)
    for number in range(3):
        with Clock("stroke to colour" if number else "stroke to colour, the first"):
            desk.add_stroke(
                middle, Stroke("brush", ((0.2 * number + 0.1, 0.2), (0.3, 0.6)), 0.012, (180, 90, 60))
            )
            desk.frame_jpeg(middle, "color")
    with Clock("still written, 1920 x 1080"):
        desk.keep_painting(middle)
    with Clock("still to the first frame coloured again"):
        desk.color(middle)
        while desk.coloring is None or desk.coloring[0] < 1:
            time.sleep(0.005)
        desk.frame_jpeg(middle, "color")
    with Clock("and ten more"):
        while desk.coloring is not None and desk.coloring[0] < 11:
            time.sleep(0.005)
    desk.stop()
    desk.close()


if __name__ == "__main__":
    main()
