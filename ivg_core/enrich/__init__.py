"""From a few words to the sentence the model was trained on: who holds what in which hand, and does what with it."""
