"""Entry point of `python -m ca_metrics`."""

from ca_metrics.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
