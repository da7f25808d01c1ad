"""The mask-conditioned 3D UNet, its companions, and every file layout they come in."""
