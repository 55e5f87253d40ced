"""Bytes of strangers, made up by machines: tests of properties, and targets of a fuzzer."""
