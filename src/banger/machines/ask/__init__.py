"""Everything that a running machine is asked for: commands, files, statistics, pauses. Through one gate."""
