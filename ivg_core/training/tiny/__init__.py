"""The embedded model: real classes at tiny sizes, trained from nothing on drawn scenes.

``python -m ivg_core.training.tiny`` does it all: :mod:`.build` runs the steps in order, each resumable.
"""
