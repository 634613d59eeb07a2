"""Programs of EMR's instances, as a cluster's commands find them here. Each module is run with ``python -m``."""
