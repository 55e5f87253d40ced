"""One file in which several travel: a tar archive in zstd, whose first member says what the others are."""
