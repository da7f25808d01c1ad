"""What is measured, and the scripts behind the figures; `python -m benchmarks` lists some."""
