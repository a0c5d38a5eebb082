"""Registers our estimators with verl when imported, which is what VERL_USE_EXTERNAL_MODULES does.

This is the one module of the package that does work at import: verl offers no other way in.
"""

from __future__ import annotations

from longtrace.training.verl import ESTIMATORS, register

for _name, _given in ESTIMATORS.items():
    register(_name, **_given)
