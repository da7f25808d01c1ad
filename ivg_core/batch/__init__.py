"""Many videos in one go: a table of items, a journal that survives anything, the loop, and a page to look at them."""
