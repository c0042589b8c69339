"""The real page in a real browser: look, paint, colour, mend, export, read back.

Every step waits for what it needs to be there, never for time to pass.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from ca_data import synthetic_clip

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    *(
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
    ),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
# The archive film's first shot is 44 frames long; a few frames of it and of the second are enough.
FIRST, LAST = 20, 64
SECONDS = 120_000


def trimmed(source: Path, out: Path) -> Path:
    """Some frames of the archive film around its first cut, small, as a film of its own."""
    with av.open(str(source)) as given, av.open(str(out), "w") as made:
        stream = made.add_stream("libx264", rate=given.streams.video[0].average_rate)
        stream.width, stream.height, stream.pix_fmt = 216, 160, "yuv420p"
        step = 1 / stream.codec_context.framerate
        for number, frame in enumerate(given.decode(video=0)):
            if FIRST <= number < LAST:
                small = frame.reformat(216, 160, "yuv420p")
                small.pts, small.time_base = number - FIRST, step
                made.mux(stream.encode(small))
            if number >= LAST:
                break
        made.mux(stream.encode())
    return out


def synthetic(out: Path) -> Path:
    """Two shots in grey."""
    with av.open(str(out), "w") as made:
        stream = made.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 216, 160, "yuv420p"
        for seed in (1, 8):
            for picture in synthetic_clip(seed, frames=22, size=(160, 216)):
                grey = picture.float().mean(dim=0).byte().numpy()
                frame = av.VideoFrame.from_ndarray(grey, format="gray").reformat(format="yuv420p")
                made.mux(stream.encode(frame))
        made.mux(stream.encode())
    return out


@pytest.fixture(params=["archive", "synthetic"])
def film(request: pytest.FixtureRequest, repository: Path, tmp_path: Path) -> Path:
    """The archive film where it is there, and two synthetic shots of its size, which are there everywhere."""
    out = tmp_path / "archive.mp4"
    if request.param == "synthetic":
        return synthetic(out)
    source = repository.parent / "shared" / "data" / "media" / "real_bw_archive_abomb.mp4"
    if not source.is_file():
        pytest.skip("shared/data has no archive film; the synthetic one stands in for it")
    return trimmed(source, out)


@pytest.fixture
def address(film: Path, repository: Path) -> Iterator[str]:
    """The studio, started as a user starts it."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "apps/studio",
        str(film),
        "--no-browser",
        "--port",
        str(port),
        "--size",
        "160x112",
    ]
    command += ["--state", str(film.parent / "state"), "--device", "cpu"]
    # NiceGUI takes a program started with pytest's variables for one of its own tests.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    process = subprocess.Popen(command, cwd=repository, env={**environment, "OMP_WAIT_POLICY": "PASSIVE"})
    url = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(1200):
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, "the studio ended at once"
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture
def page(address: str):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    with tempfile.TemporaryDirectory() as profile, playwright.sync_playwright() as driver:
        browser = driver.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, args=FLAGS, viewport={"width": 1280, "height": 800}
        )
        browser.set_default_timeout(SECONDS)
        page = browser.new_page()
        page.problems, page.outside = [], []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((address, "data:", "blob:", address.replace("http", "ws")))
                else page.outside.append(request.url)
            ),
        )
        page.goto(address)
        settle(page)
        yield page
        browser.close()


def find(page, name: str):
    return page.locator(f"[data-testid={name}]")


def settle(page, **data: object) -> None:
    """Wait until the stage shows what it should, in its newest version, and nothing is being painted."""
    wanted = {"ready": True, "busy": False, **data}
    page.wait_for_selector(
        "[data-testid=stage]" + "".join(f"[data-{k}='{str(v).lower()}']" for k, v in wanted.items())
    )


def ready(page) -> None:
    page.wait_for_function("document.querySelector('[data-testid=status]').innerText === 'ready'")


def use(page, tool: str) -> None:
    find(page, f"tool-{tool}").click()
    settle(page, tool=tool)


def places(page, points) -> list[tuple[float, float]]:
    """Shares of the frame's width and height as places on the screen."""
    box = find(page, "stage").bounding_box()
    scale = min(box["width"] / 216, box["height"] / 160)
    left = box["x"] + (box["width"] - 216 * scale) / 2
    top = box["y"] + (box["height"] - 160 * scale) / 2
    return [(left + x * 216 * scale, top + y * 160 * scale) for x, y in points]


def shown(page, x: float, y: float) -> list[int]:
    """The most colourful pixel of the stage around a place."""
    return page.evaluate(
        """([x, y]) => {
            const canvas = document.querySelector('[data-testid=stage]');
            const scale = Math.min(canvas.width / 216, canvas.height / 160);
            const left = (canvas.width - 216 * scale) / 2, top = (canvas.height - 160 * scale) / 2;
            const data = canvas.getContext('2d').getImageData(left + x * 216 * scale, top + y * 160 * scale, 8, 8).data;
            const pixels = [];
            for (let i = 0; i < data.length; i += 4) pixels.push([...data.slice(i, i + 3)]);
            const strength = (rgb) => Math.max(...rgb) - Math.min(...rgb);
            return pixels.sort((a, b) => strength(b) - strength(a))[0];
        }""",
        [x, y],
    )


def chroma(page, x: float, y: float) -> int:
    """How colourful the picture on the stage is around a place."""
    return max(shown(page, x, y)) - min(shown(page, x, y))


def until(page, holds) -> None:
    """Wait for something that the page or the folder shows; polling, since both change from outside."""
    end = time.monotonic() + SECONDS / 1000
    while not holds():
        assert time.monotonic() < end, "it never came"
        page.wait_for_timeout(100)


def drag(page, *points: tuple[float, float]) -> None:
    path = places(page, points)
    page.mouse.move(*path[0])
    page.mouse.down()
    for place in path[1:]:
        page.mouse.move(*place, steps=3)
    page.mouse.up()
    page.mouse.move(5, 5)


def stroke(page, *points: tuple[float, float]) -> None:
    drag(page, *points)
    settle(page)


def stretches(page, kept: Path, count: int) -> set[Path]:
    """The coloured stretches, once there are so many and the work is at rest; no more may follow."""
    until(page, lambda: len(set(kept.glob("*.npy"))) >= count)
    ready(page)
    found = set(kept.glob("*.npy"))
    assert len(found) == count, found
    return found


def go(page, frame: int) -> None:
    page.keyboard.press("Home")
    for _ in range(frame // 10):
        page.keyboard.press("Shift+ArrowRight")
    for _ in range(frame % 10):
        page.keyboard.press("ArrowRight")
    settle(page, frame=frame)
    page.wait_for_function(
        f"document.querySelector('[data-testid=place]').innerText.startsWith('frame {frame} ')"
    )


@pytest.mark.slow
def test_look_paint_color_mend_export(page, film: Path) -> None:
    # Look: the cut is found, the arrows move, colours are not there yet.
    ready(page)
    assert re.search(r"shot 1 of 2: 0-2\d", find(page, "shot").inner_text())
    last = int(find(page, "shot").inner_text().rsplit("-", 1)[1])
    go(page, 13)
    go(page, 0)
    assert chroma(page, 0.4, 0.45) < 12

    # Paint: two strokes, and colour spreads beyond them; undo and redo; B held shows the grey frame.
    use(page, "brush")
    stroke(page, (0.34, 0.42), (0.42, 0.46))
    page.locator("[data-testid=swatches] .swatch").nth(2).click()
    stroke(page, (0.28, 0.16), (0.42, 0.2))
    use(page, "look")
    assert chroma(page, 0.36, 0.52) > 20
    both = shown(page, 0.36, 0.14)
    page.keyboard.press("Control+z")
    until(page, lambda: shown(page, 0.36, 0.14) != both)
    page.keyboard.press("Control+Shift+z")
    until(page, lambda: shown(page, 0.36, 0.14) == both)
    page.keyboard.down("b")
    until(page, lambda: chroma(page, 0.36, 0.52) < 12)
    page.keyboard.up("b")
    until(page, lambda: chroma(page, 0.36, 0.52) > 20)

    # Colour: the painted frame becomes a still, its shot runs, the other shot does not.
    kept = film.parent / "archive.mp4.coloralign" / "kept"
    find(page, "use-still").click()
    first = stretches(page, kept, 1)
    go(page, 5)
    until(page, lambda: chroma(page, 0.36, 0.52) > 15)
    drag(page, (0.02, 0.5), (0.7, 0.5))  # the border between before and after
    assert chroma(page, 0.36, 0.52) < 12
    drag(page, (0.7, 0.5), (0.0, 0.5))
    assert chroma(page, 0.36, 0.52) > 15
    go(page, last + 2)
    assert chroma(page, 0.4, 0.5) < 12

    # Mend: another colour with one stroke at a later frame; only stretches of this shot are made anew.
    go(page, 8)
    use(page, "brush")
    page.locator("[data-testid=swatches] .swatch").last.click()
    stroke(page, (0.6, 0.3), (0.8, 0.3))
    page.keyboard.press("s")
    page.wait_for_function("document.querySelectorAll('[data-testid=stills] .still').length === 2")
    again = stretches(page, kept, 4) - first  # forward from 0, back from 8, forward from 8
    assert len(again) == 3
    project = (film.parent / "archive.mp4.coloralign" / "project.toml").read_text()
    assert "frame_000008.png" in project

    # Finish: export, and read the film back.
    out = film.parent / "colored.mp4"
    find(page, "export").click()
    find(page, "export-out").fill(str(out))
    find(page, "export-start").click()
    page.wait_for_selector("[data-testid=queue] >> text=/done/")
    with av.open(str(out)) as made:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in made.decode(video=0)]
    assert len(frames) == LAST - FIRST
    strength = [float((frame.max(axis=2) - frame.min(axis=2)).mean()) for frame in frames]
    assert min(strength[: last + 1]) > 4 * max(strength[last + 1 :])
    assert page.problems == []
    assert page.outside == []
