"""The examples in the docstrings of the evaluation run."""

import doctest
import importlib

import pytest

MODULES = (
    "ca_data.davis",
    "ca_data.prepared",
    "ca_trainer.ablation",
    "ca_trainer.assess",
    "ca_trainer.baselines",
    "ca_trainer.charts",
    "ca_trainer.colorizers",
    "ca_trainer.measures",
    "ca_trainer.motion",
    "ca_trainer.protocols",
    "ca_trainer.published",
    "ca_trainer.results",
    "ca_trainer.scoring",
    "ca_trainer.strips",
    "ca_trainer.tables",
)


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
