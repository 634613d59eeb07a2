"""On which systems there are sessions."""

from __future__ import annotations

import pytest

from pytest_isolated_emr.errors import UnsupportedPlatform
from pytest_isolated_emr.platform_support import require_supported_platform


def test_windows_is_told_where_it_runs():
    with pytest.raises(UnsupportedPlatform, match="WSL 2"):
        require_supported_platform("win32")


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_others_are_supported(platform: str):
    require_supported_platform(platform)
