"""`uv run apps/trainer`: the trainer's command line."""

if __name__ == "__main__":
    from ca_trainer.cli import main

    main()
