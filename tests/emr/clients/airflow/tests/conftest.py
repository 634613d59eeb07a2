import sys
from pathlib import Path
from unittest import mock

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "dags"))


@pytest.fixture
def context():
    """What Airflow hands to a task, as far as these operators look at it."""
    return mock.MagicMock()
