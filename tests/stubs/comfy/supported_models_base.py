class BASE:
    def __init__(self, unet_config):
        self.unet_config, self.latent_format = dict(unet_config), self.latent_format()


class ClipTarget:
    def __init__(self, tokenizer, clip):
        self.tokenizer, self.clip = tokenizer, clip
