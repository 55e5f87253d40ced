"""Random operations, daemons and VMMs killed amid them, and a look at what is left each time (`make crash`)."""
