"""What Python drivers of steps have before their own code: this directory comes first on a cluster's ``PYTHONPATH``."""
