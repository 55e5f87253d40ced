"""Virtual machine monitors behind one contract. Nothing above this room names a driver."""
