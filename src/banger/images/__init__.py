"""Images: a reference becomes a root disk, an ext4 file system in a sparse file."""
