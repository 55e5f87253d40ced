"""Guests from nothing to ready: the VM starts, its agent answers, the guest gets its identity."""
