"""The Region of Motion: predicting, refining and substituting the mask."""
