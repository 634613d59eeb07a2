"""The suites and the clients' projects run by themselves in a session, not as tests of this project."""

collect_ignore = ["clients", "suites"]
