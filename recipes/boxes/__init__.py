"""How the embedded model learned to follow boxes: its gates, trained on drawn scenes whose boxes are exact."""
