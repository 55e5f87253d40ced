"""What is kept of machines: records, events, operations; and the records compared with the host."""
