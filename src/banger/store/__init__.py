"""SQLite behind typed tables. One process writes: the daemon."""
