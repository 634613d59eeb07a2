"""The systems that sessions can be had on. It imports nothing that one of the others lacks."""

from __future__ import annotations

import sys

from pytest_isolated_emr.errors import UnsupportedPlatform


def require_supported_platform(platform: str = sys.platform) -> None:
    """See that this system has what the promises rest on.

    :param platform: the system, as ``sys.platform`` has it.
    :raises UnsupportedPlatform: it does not.
    """
    if platform == "win32":
        raise UnsupportedPlatform(
            "pytest-isolated-emr does not run on Windows.",
            checked=f"sys.platform is {platform}",
            cure="Run it in WSL 2, in a container, or on Linux or macOS.",
        )
