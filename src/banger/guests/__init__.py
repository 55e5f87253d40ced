"""Guests that are brought up: the VM started, its agent greeted, its identity given."""
