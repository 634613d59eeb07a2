"""``state-pusher-script``: on EMR it copies the instance's state into a bucket of AWS's, for debugging; here, nothing."""

from __future__ import annotations


def main() -> None:
    """Do nothing."""


if __name__ == "__main__":
    main()
