"""`uv run apps/infer`: the command line of ca_infer."""

from ca_infer.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
