"""One file a target: `run(data)` takes any bytes, and what it raises is a bug."""
