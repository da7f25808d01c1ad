"""The embedded model: real classes at tiny sizes, trained from nothing on drawn scenes.

``python -m recipes.embedded`` does it all: :mod:`.build` runs the steps in order, each resumable.
"""
