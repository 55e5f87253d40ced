"""What names of images mean, and what the OCI specifications say: references, platforms, documents. No I/O."""
