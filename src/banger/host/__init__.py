"""What touches the host: processes, files, kernel interfaces, places on disk."""
