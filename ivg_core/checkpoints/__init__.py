"""Files of weights: finding them, reading and writing them, saying what they are, fetching them."""
