"""EMR's operations, by what they are about. Each takes the backend and a request, and returns its answer."""
