"""Stand-in for the few parts of ComfyUI's `comfy` package that nodes use."""
