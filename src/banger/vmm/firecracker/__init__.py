"""Firecracker, as a driver of the contract in `vmm.base`."""
