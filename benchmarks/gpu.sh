#!/bin/sh
# Everything that needs a GPU, measured in one go; 8 minutes should do on one card of the class of an H100.
#
#   sh benchmarks/gpu.sh DIR           writes DIR/speed_gpu.json, DIR/any_model_gpu.json and DIR/profile.txt
#   sh benchmarks/gpu.sh DIR --tiny    only tries the steps, at the smallest size, on a CPU too
#
# Both files are written anew after each step, so a run that is cut off counts as far as it came. It ends with 2, and says
# why, if a step failed or was not run. --minutes 5 begins no step after five minutes. Nothing is fetched.
#
# The machine has Python 3.12, torch 2.11 for CUDA with torchvision and torchaudio, transformers, accelerate, einops,
# opencv, scipy and psutil. What it lacks comes along, in folders that environment variables name:
#
#   PYTHON             the Python that has torch; python3 if unset
#   WHEELS             of packages that are missing there
#   IVG_RELEASED_CODE  the released code: the folder of a checkout of alibaba/animate-anything, of which `models` is
#                      enough; without it the loop is measured beside diffusers alone
#   RELEASED_WHEELS    of the old packages that the released code needs beside the machine's torch
#   COMFYUI_PATH       ComfyUI 0.33, of which node_helpers.py and the .py files of `comfy` are enough; without it the
#                      step of the 5B class is left out
#
# How the folders are filled, from the root of the repository, with pip and a network:
#
#   GET="python3 -m pip download --no-deps --only-binary=:all: --python-version 3.12 --implementation cp"
#   FOR="--platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64"
#   $GET $FOR -d wheels diffusers==0.42.1 importlib_metadata torchsde trampoline comfy-aimdo==0.4.13
#   $GET --platform any -d wheels comfy-kitchen==0.2.31    (the one in Python alone; the other has 58 MB)
#   $GET $FOR -d released_wheels diffusers==0.24.0 transformers==4.36.2 tokenizers==0.15.2 huggingface_hub==0.23.5 \
#       peft==0.5.0
#
# Of the repository the following is enough; with all of the above it has 46 MB:
#
#   git archive HEAD __init__.py benchmarks ivg_core nodes recipes tests/comfy_harness tests/comfyui \
#       tests/golden/tiny_ckpt tests/golden/unet_io.safetensors tests/golden/sampler_eval.safetensors \
#       tests/golden/input.png tests/golden/input_mask.png ':!ivg_core/assets/ivg-tiny*' | tar -x -C FOLDER
set -eu

if [ $# -eq 0 ]; then
    echo "Say where the figures are to be written: sh benchmarks/gpu.sh DIR" >&2
    exit 2
fi
out=$1
shift
python=${PYTHON:-python3}
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

install() { # FOLDER_OF_WHEELS TARGET
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$2" "$1"/*.whl
}

export PYTHONPATH="$root" PYTHONUNBUFFERED=1
if [ -n "${WHEELS:-}" ]; then
    install "$WHEELS" "$made/new"
    export PYTHONPATH="$root:$made/new"
fi
if [ -n "${RELEASED_WHEELS:-}" ]; then
    install "$RELEASED_WHEELS" "$made/old"
    export IVG_RELEASED_PYTHON="$made/released_python"
    printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s" "$@"\n' "$made/old" "$python" > "$IVG_RELEASED_PYTHON"
    chmod +x "$IVG_RELEASED_PYTHON"
fi
"$python" -c 'import torch; print("torch", torch.__version__, "CUDA" if torch.cuda.is_available() else "no CUDA")'
"$python" -m benchmarks gpu --out "$out" "$@"
