"""Clips on disk, with captions and masks, as the trainer wants them: read, checked, cut alike, encoded once, kept.

settings.py says what can be asked for, sources.py finds clips, transform.py chooses frames and cuts them, motion.py
judges and stills them, masks.py says what moves, prepare.py does all of that with one clip, cache.py keeps what was
encoded, dataset.py is the data set, report.py tells what became of every clip.
"""
