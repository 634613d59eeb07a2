"""Clients that ignore the environment. Replaced below by what acts on their import."""


def activate(endpoint_url, credentials):
    pass


def deactivate():
    pass
