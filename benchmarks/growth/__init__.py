"""How cost grows: with sessions at once, with tests in one session, with files in a scratch."""
