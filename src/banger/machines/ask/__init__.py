"""Requests to a running machine: commands, files, statistics, pauses. `pausing` wakes an idle machine for them."""
