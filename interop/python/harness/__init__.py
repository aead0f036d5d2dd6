"""Starts the daemon and the emulator, and talks to both with code that is not ours."""
