"""Images from Dockerfiles, built in a machine: a client of the daemon, which knows nothing of Dockerfiles."""
