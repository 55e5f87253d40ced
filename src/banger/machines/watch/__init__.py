"""Look after running machines: clocks, logs, idleness, space on the disk."""
