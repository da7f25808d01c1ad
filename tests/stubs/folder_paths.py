"""Stand-in for ComfyUI's `folder_paths`, in a temporary folder."""

import os
import tempfile

base_path = tempfile.mkdtemp(prefix="comfy-stub-")
models_dir = os.path.join(base_path, "models")
supported_pt_extensions = {".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft"}
folder_names_and_paths = {
    name: ([os.path.join(models_dir, name)], set(supported_pt_extensions))
    for name in ("checkpoints", "loras", "vae", "diffusion_models", "clip_vision", "text_encoders")
}


def _directory(name):
    path = os.path.join(base_path, name)
    os.makedirs(path, exist_ok=True)
    return path


def get_output_directory():
    return _directory("output")


def get_temp_directory():
    return _directory("temp")


def get_input_directory():
    return _directory("input")


def add_model_folder_path(folder_name, full_folder_path, is_default=False):
    paths, _ = folder_names_and_paths.setdefault(folder_name, ([], set()))
    if full_folder_path not in paths:
        paths.insert(0, full_folder_path) if is_default else paths.append(full_folder_path)


def get_folder_paths(folder_name):
    return folder_names_and_paths[folder_name][0][:]


def get_filename_list(folder_name):
    paths, extensions = folder_names_and_paths[folder_name]
    found = set()
    for root in paths:
        for folder, _, files in os.walk(root):
            for file in files:
                if not extensions or os.path.splitext(file)[1] in extensions:
                    found.add(os.path.relpath(os.path.join(folder, file), root))
    return sorted(found)


def get_full_path(folder_name, filename):
    filename = os.path.relpath(os.path.join("/", filename), "/")  # so ComfyUI keeps names in their folder
    for root in get_folder_paths(folder_name):
        path = os.path.join(root, filename)
        if os.path.isfile(path):
            return path
    return None


def get_full_path_or_raise(folder_name, filename):
    path = get_full_path(folder_name, filename)
    if path is None:
        raise FileNotFoundError(f"{filename} not found in {folder_name}")
    return path


def get_annotated_filepath(name, default_dir=None):
    return os.path.join(default_dir or get_input_directory(), name.removesuffix(" [input]"))


def exists_annotated_filepath(name):
    return os.path.exists(get_annotated_filepath(name))


def get_save_image_path(filename_prefix, output_dir, image_width=0, image_height=0):
    subfolder = os.path.dirname(os.path.normpath(filename_prefix))
    folder = os.path.join(output_dir, subfolder)
    os.makedirs(folder, exist_ok=True)
    name = os.path.basename(filename_prefix)
    counter = 1 + len([f for f in os.listdir(folder) if f.startswith(name + "_")])
    return folder, name, counter, subfolder, filename_prefix
