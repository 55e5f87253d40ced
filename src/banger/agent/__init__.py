"""The host side of the guest agent: its binary, its connection, the processes it runs."""
