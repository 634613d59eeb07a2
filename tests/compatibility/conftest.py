"""The suites are other people's: they run by themselves, not as tests of this project."""

collect_ignore = ["suites"]
