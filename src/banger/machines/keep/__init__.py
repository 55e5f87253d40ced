"""What banger keeps of machines: records, events, operations; and the comparison of records with the host."""
