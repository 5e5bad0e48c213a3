"""Several workers at once: the loop that hands out chunks, and the kinds of worker it knows."""
