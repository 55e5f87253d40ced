"""Projects: several machines that one file describes. A client of the API: only the command line uses it."""
