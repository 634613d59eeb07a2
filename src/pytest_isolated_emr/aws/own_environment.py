"""What a test sees of the machine's AWS settings where it works on the real AWS as the user: all of them."""

from __future__ import annotations


class OwnEnvironment:
    """The user's own credentials and settings, in the region of the session.

    :param region: where the session is.
    """

    def __init__(self, region: str) -> None:
        self._region = region

    @staticmethod
    def drops(_name: str) -> bool:
        """Tell whether a test must not see a variable of the machine's environment: it sees all."""
        return False

    def variables(self) -> dict[str, str]:
        """Return the variables."""
        return {"AWS_REGION": self._region, "AWS_DEFAULT_REGION": self._region}
