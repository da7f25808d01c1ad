"""Stand-in for ComfyUI's `comfy_api`: enough to import and call V3 nodes in unit tests."""
