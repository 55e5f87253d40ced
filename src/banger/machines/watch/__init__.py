"""What looks after running machines meanwhile: clocks, logs, idleness, room on the disk."""
