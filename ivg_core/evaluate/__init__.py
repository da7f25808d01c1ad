"""Generated clips measured against true ones: pairing, measuring, confidence, and the report."""
