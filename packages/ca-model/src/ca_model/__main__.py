"""`python -m ca_model`: parameters and operations of every preset."""

from ca_model.checkpoint import create_model
from ca_model.cost import count_cost
from ca_model.presets import PRESETS


def main() -> None:
    print("| preset | parameters | GFLOP per 384 x 224 frame, 1 reference |\n|---|---|---|")
    for name in PRESETS:
        cost = count_cost(create_model(name))
        print(f"| {name} | {cost.parameters / 1e6:.2f} M | {cost.gflop_per_frame:.1f} |")


if __name__ == "__main__":
    main()
