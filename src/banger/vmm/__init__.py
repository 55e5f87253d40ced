"""Virtual machine monitors behind one contract. No code above this room names a driver."""
