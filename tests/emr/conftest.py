"""The suites run by themselves in a session, not as tests of this project."""

collect_ignore = ["suites"]
