"""Who is the same individual in other windows."""
