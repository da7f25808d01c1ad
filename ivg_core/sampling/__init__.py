"""One denoising loop for both stages."""
