"""What the daemon counts and times of itself, in plain numbers, without any format in which they are asked for."""
