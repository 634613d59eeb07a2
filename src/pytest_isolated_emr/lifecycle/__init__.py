"""Run ids, liveness, the journal of what a session owns, and the sweep of what dead sessions left."""
