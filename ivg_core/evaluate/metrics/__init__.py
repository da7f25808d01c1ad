"""What is measured of masks and videos, one file a family."""
