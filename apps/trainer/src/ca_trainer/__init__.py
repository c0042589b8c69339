"""Train, evaluate and ablate ColorAlignNet."""

from ca_trainer.errors import NonFiniteError, TrainerError
from ca_trainer.recipe import Recipe
from ca_trainer.recipe_toml import load_recipe, parse_recipe, recipe_to_toml

__all__ = ["NonFiniteError", "Recipe", "TrainerError", "load_recipe", "parse_recipe", "recipe_to_toml"]
