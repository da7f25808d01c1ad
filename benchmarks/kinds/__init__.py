"""The kinds of made-up inputs that `benchmarks.malformed` tries, a file a subject; `case.py` says what a kind is."""
