"""Root disks from layers: merged in one pass, written as ext4 in one pass."""
