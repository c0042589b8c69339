"""`uv run apps/studio`: the studio of ca_studio."""

from ca_studio.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
