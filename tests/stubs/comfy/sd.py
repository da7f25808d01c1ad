"""The little of core's VAE and CLIP that is called between their networks and nodes."""


class VAE:
    def __init__(self, sd, device=None, dtype=None):
        self.device, self.vae_dtype, self.latent_dim = device, dtype, 2
        self.memory_used_decode = self.memory_used_encode = lambda shape, dtype: shape[2] * shape[3]

    def encode(self, pixels):
        pixels = self.process_input(pixels.movedim(-1, 1))
        return self.first_stage_model.encode(pixels.movedim(1, 0)[None] if self.latent_dim == 3 else pixels)

    def decode(self, latents):
        return self.process_output(self.first_stage_model.decode(latents)).movedim(1, -1)


class CLIP:
    def __init__(self, target):
        self.cond_stage_model, self.tokenizer = target.clip(device="cpu"), target.tokenizer(embedding_directory=None)
        self.layer_idx = None

    def tokenize(self, text):
        return self.tokenizer.tokenize_with_weights(text, False)

    def encode_from_tokens_scheduled(self, tokens):
        self.cond_stage_model.reset_clip_options()
        if self.layer_idx is not None:
            self.cond_stage_model.set_clip_options({"layer": self.layer_idx})
        states, pooled = self.cond_stage_model.encode_token_weights(tokens)
        return [[states, {"pooled_output": pooled}]]
