"""Hands in pictures: where they are, their 21 joints, followed through a clip; networks that gradients flow through."""
