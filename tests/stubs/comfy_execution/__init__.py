"""Stand-in for the one class of `comfy_execution` that nodes use."""
