"""The released code's own denoising loop, in a process of its own, since it needs old libraries.

Started by peers.py as `python released_loop.py CHECKOUT INPUTS OUTPUT`; each line on standard input is one run,
answered with its seconds. The last latents are left in OUTPUT.
"""

import contextlib
import sys
import time
import warnings

import torch
from random_weights import fill

warnings.simplefilter("ignore")


def main(checkout: str, inputs: str, output: str) -> None:
    sys.path.insert(0, checkout)
    from diffusers import AutoencoderKL, DPMSolverMultistepScheduler
    from models.pipeline import LatentToVideoPipeline
    from models.unet_3d_condition_mask import UNet3DConditionModel

    told = torch.load(inputs, weights_only=True)
    device, dtype = torch.device(told["device"]), told["text"].dtype
    torch.set_num_threads(told["threads"])
    with torch.device("meta"), contextlib.redirect_stdout(sys.stderr):
        unet = UNet3DConditionModel(**told["config"])
    unet = fill(unet).to(device, dtype)
    solver = DPMSolverMultistepScheduler.from_config(told["scheduler"])
    pipeline = LatentToVideoPipeline(AutoencoderKL().to(device, dtype), None, None, unet, solver)
    pipeline.decode_latents = lambda latents: latents  # the loop is measured, not the decoder
    pipeline.set_progress_bar_config(disable=True)
    loaded = {key: value.to(device) for key, value in told.items() if isinstance(value, torch.Tensor)}

    def run() -> torch.Tensor:
        height, width = loaded["latents"].shape[-2:]
        return pipeline(
            prompt_embeds=loaded["text"],
            negative_prompt_embeds=loaded["negative"],
            latents=loaded["latents"],
            condition_latent=loaded["photo"],
            mask=loaded["mask"],
            motion=told["motion"],
            num_inference_steps=told["steps"],
            guidance_scale=told["guidance"],
            height=8 * height,
            width=8 * width,
            output_type="pt",
            return_dict=False,
        )[1]

    on_cpu = device.type == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    wait = (lambda: None) if on_cpu else torch.cuda.synchronize
    for _line in sys.stdin:
        wait()
        began = clock()
        with contextlib.redirect_stdout(sys.stderr):
            latents = run()
        wait()
        print(clock() - began, flush=True)
        torch.save(latents.cpu(), output)


if __name__ == "__main__":
    main(*sys.argv[1:])
