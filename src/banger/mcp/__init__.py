"""Sandboxes for agents, by the Model Context Protocol: a client of the daemon, with the limits of its operator."""
