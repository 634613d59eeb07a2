"""How long states last at least."""

#: In seconds, for a state that a client may wait for and that would be over at once: a client that looks every second
#: does not miss it.
DWELL_SECONDS = 1.2
