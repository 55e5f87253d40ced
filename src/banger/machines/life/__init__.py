"""The life of a machine: created, launched, watched until its end, taken over after a restart of the daemon."""
