"""What holds for every test: a run gives the same answer twice, so hypothesis draws from a fixed seed."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")
