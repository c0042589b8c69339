"""Build the site: stage the documents and READMEs as pages, build them strictly, and check what came out.

    uv run --group docs website

The pages are the repository's own Markdown files. Their links point to files of the repository; on the site they point
to pages. Whatever has no page becomes plain text, whatever is not there stops the build.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "website"
PAGES, SITE = BUILD / "pages", BUILD / "site"
MEMBERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]["members"]
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
FENCE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.DOTALL | re.MULTILINE)


def sources() -> dict[Path, str]:
    """Page of every file of the repository that has one: texts of docs/, READMEs, and a few beside them."""
    docs = ROOT / "docs"
    pages = {file: file.relative_to(docs).as_posix() for file in sorted(docs.rglob("*.md"))}
    for member in MEMBERS:
        folder = ROOT / member
        kind = folder.parent.name
        pages[folder / "README.md"] = f"{kind}/{folder.name}.md"
    pages[ROOT / "CONTRIBUTING.md"] = "contributing.md"
    pages[ROOT / "SECURITY.md"] = "security.md"
    pages[ROOT / "packages/ca-model/src/ca_model/weights/README.md"] = "model-card.md"
    return pages


def page_of(target: Path, pages: dict[Path, str]) -> str | None:
    """The page that stands for a file or a folder of the repository."""
    if target == ROOT / "README.md" or target == ROOT:
        return "index.md"
    if target.name == "CHANGELOG.md":
        return "changes.md"
    return pages.get(target / "README.md" if target.is_dir() else target)


def relink(text: str, file: Path, page: str, pages: dict[Path, str]) -> str:
    """The text with its links from file to file turned into links from page to page."""
    up = "../" * page.count("/")

    def link(match: re.Match[str]) -> str:
        picture, label, address = match.groups()
        if urlsplit(address).scheme or address.startswith("#"):
            return match.group(0)
        path, _, anchor = address.partition("#")
        target = (file.parent / path).resolve()
        if not target.exists():
            raise SystemExit(f"{file.relative_to(ROOT)}: the link to {address} leads nowhere; correct it")
        if picture or target.is_relative_to(ROOT / "docs" / "notebooks"):
            return f"{picture}[{label}]({up}{target.relative_to(ROOT / 'docs').as_posix()})"
        found = page_of(target, pages)
        if found is None:
            return label
        return f"[{label}]({up}{found}{'#' + anchor if anchor else ''})"

    # Code is left alone: every second part is a block or a span of it.
    parts = FENCE.split(text)
    return "".join(part if number % 2 else LINK.sub(link, part) for number, part in enumerate(parts))


def stage() -> None:
    """Write every page below the build folder."""
    shutil.rmtree(BUILD, ignore_errors=True)
    pages = sources()
    shutil.copytree(ROOT / "docs", PAGES, ignore=shutil.ignore_patterns("*.md"))
    shutil.copy(Path(__file__).with_name("site.css"), PAGES)
    for file, page in pages.items():
        text = file.read_text(encoding="utf-8")
        if page == "model-card.md":
            text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
        text = relink(text, file, page, pages)
        if file.name == "README.md" and page.startswith("packages/"):
            module = file.parent.name.replace("-", "_")
            text += f"\n## Reference\n\nWhat `{module}` exports, from its docstrings.\n\n::: {module}\n"
        (PAGES / page).parent.mkdir(parents=True, exist_ok=True)
        (PAGES / page).write_text(text, encoding="utf-8")
    (PAGES / "changes.md").write_text(changes(), encoding="utf-8")


def changes() -> str:
    """The changelogs of all members on one page."""
    text = "# Changes\n\nEach package has its own version and its own list.\n"
    for member in MEMBERS:
        lines = (ROOT / member / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
        body = [("#" + line if line.startswith("#") else line) for line in lines if not line.startswith("# ")]
        text += f"\n## {Path(member).name}\n\n" + "\n".join(body).strip() + "\n"
    return text


class Addresses(HTMLParser):
    """Collects what a page links to, what it loads, and the anchors it has."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        have = {name: value for name, value in attributes if value}
        self.anchors |= {have[name] for name in ("id", "name") if name in have}
        if tag == "a" and "href" in have:
            self.links.append(have["href"])
        loads = {"img": "src", "script": "src", "source": "src", "iframe": "src", "link": "href"}
        if tag in loads and loads[tag] in have:
            self.loads.append(have[loads[tag]])


def faults() -> list[str]:
    """What is wrong with the built site: a link or an anchor without a target, anything loaded from elsewhere."""
    read: dict[Path, Addresses] = {}
    for file in SITE.rglob("*.html"):
        read[file] = Addresses()
        read[file].feed(file.read_text(encoding="utf-8"))
    found = []
    for file, page in read.items():
        if file.name == "404.html":
            continue  # its addresses begin at the root of the server
        name = file.relative_to(SITE).as_posix()
        found += [
            f"{name}: loads {address} from elsewhere" for address in page.loads if urlsplit(address).netloc
        ]
        for address in page.links + page.loads:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                found.append(f"{name}: {address} leads nowhere")
            elif parts.fragment and target in read and unquote(parts.fragment) not in read[target].anchors:
                found.append(f"{name}: {address} has no such place")
    return found


def main() -> int:
    stage()
    configuration = ROOT / "zensical.toml"
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", configuration]
    if code := subprocess.run(command, check=False).returncode:
        return code
    found = faults()
    print(*found, sep="\n", file=sys.stderr)
    pages = sum(1 for _ in SITE.rglob("*.html"))
    print(f"{pages} pages in {SITE.relative_to(ROOT)}, {len(found)} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
