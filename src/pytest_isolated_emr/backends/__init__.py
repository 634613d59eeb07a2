"""The backends: where Spark runs."""

from __future__ import annotations

from pytest_isolated_emr.backends.local import LocalBackend

#: Name, as the option has it, and class.
BACKENDS = {"local": LocalBackend}
