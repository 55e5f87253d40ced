"""The life of a machine: created, launched, supervised to its end, adopted after a restart of the daemon."""
