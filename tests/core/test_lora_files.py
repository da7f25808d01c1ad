"""LoRA files of other programs: read as those programs mean them, or refused in one sentence."""

import json
import time

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from peft.utils.other import get_pattern_key
from safetensors.torch import load_file, save_file
from test_lora_few_steps import plain_network

from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import read_lora, save_lora
from ivg_core.checkpoints.lora_keys import OTHER_KINDS, read_key
from ivg_core.checkpoints.lora_scale import HEADER, scales_of
from ivg_core.errors import IVGError
from ivg_core.models.lora import LoRA, applied_lora, merge_lora

ATTENTION = "mid_block.attentions.0.transformer_blocks.0.attn1."
SITES = [ATTENTION + end for end in ("to_q", "to_k", "to_v", "to_out.0")]
TO_Q = SITES[0]


@pytest.fixture(scope="module")
def unet(golden):
    return load_model(golden / "tiny_ckpt").unet


@pytest.fixture(scope="module")
def halves(unet):
    """Layer -> (up, down), of rank 4."""
    rng = torch.Generator().manual_seed(0)
    shapes = {name: unet.get_submodule(name).weight.shape for name in SITES}
    return {
        name: (torch.randn(rows, 4, generator=rng), torch.randn(4, columns, generator=rng))
        for name, (rows, columns) in shapes.items()
    }


def keyed(halves, up="unet.{}.lora_B.weight", down="unet.{}.lora_A.weight", sites=SITES):
    tensors = {}
    for name in sites:
        tensors[up.format(name)], tensors[down.format(name)] = (half.clone() for half in halves[name])
    return tensors


def refuse(path, unet, *words, partial=False):
    with pytest.raises(IVGError) as raised:
        read_lora(path, unet, partial)
    said = str(raised.value)
    assert str(path) in said and "\n" not in said and said.endswith("."), said
    assert all(word in said for word in words), said


def same(lora, halves):
    assert lora.layers.keys() == halves.keys()
    for name, (up, down) in halves.items():
        assert torch.equal(lora.layers[name][0], up) and torch.equal(lora.layers[name][1], down)


# ---- names


def test_a_file_of_diffusers_scripts_mixes_two_kinds_of_keys(tmp_path, unet, halves):
    tensors = keyed(halves, "unet.{}.lora.up.weight", "unet.{}.lora.down.weight", SITES[:2])
    save_file(tensors | keyed(halves, sites=SITES[2:]), tmp_path / "x.safetensors")
    same(read_lora(tmp_path / "x.safetensors", unet), halves)


@pytest.mark.parametrize("ending", [".bin", ".pt", ".safetensors", ".SAFETENSORS", ".SafeTensors", ".sft"])
def test_older_scripts_speak_of_processors(tmp_path, unet, halves, ending):
    names = {TO_Q: "to_q", SITES[1]: "to_k", SITES[2]: "to_v", SITES[3]: "to_out"}
    tensors = {}
    for name, short in names.items():
        stem = f"unet.{ATTENTION}processor.{short}_lora."
        tensors[stem + "up.weight"], tensors[stem + "down.weight"] = (half.clone() for half in halves[name])
    path = tmp_path / f"pytorch_lora_weights{ending}"
    save_file(tensors, path) if "s" in ending.lower() else torch.save(tensors, path)
    same(read_lora(path, unet), halves)
    if ending in (".bin", ".safetensors"):
        same(read_lora(tmp_path, unet), halves)


# ---- how strong


def write_adapter(network, config, path, header=True):
    """What diffusers' save_lora_weights writes of an adapter, and the weights that peft merges."""
    adapted = get_peft_model(network, config).eval()
    found = get_peft_model_state_dict(adapted)
    tensors = {key.replace("base_model.model.", "unet."): tensor.contiguous() for key, tensor in found.items()}
    about = {f"unet.{key}": value for key, value in config.to_dict().items()}
    about = {key: sorted(value) if isinstance(value, set) else value for key, value in about.items()}
    metadata = {"format": "pt", **({HEADER: json.dumps(about)} if header else {})}
    save_file(tensors, path, metadata)
    return adapted.merge_and_unload().state_dict()


@pytest.mark.parametrize("rslora", [False, True])
def test_the_header_says_how_strong_it_is_as_peft_reads_it(tmp_path, unet, rslora):
    config = LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=["to_q", "to_k", "proj_in", "conv_in"],
        init_lora_weights=False,
        use_rslora=rslora,
        rank_pattern={"attn1.to_q": 2, "^conv_in": 3},
        alpha_pattern={r".*down_blocks.*to_k": 1, "attn2.to_q": 5, "q": 100, "^conv_in": 2},
    )
    merged = write_adapter(plain_network(unet), config, tmp_path / "x.safetensors")
    lora = read_lora(tmp_path / "x.safetensors", unet)
    assert len(set(lora.scales.values())) >= 4 and lora.layers["conv_in"][1].shape[0] == 3
    with applied_lora(unet, lora):
        for name in lora.layers:
            weight = unet.get_submodule(name).weight
            torch.testing.assert_close(weight, merged[f"{name}.weight"], atol=1e-5, rtol=1e-5)
    again = read_lora(save_lora(lora, tmp_path / "ours.safetensors"), unet)
    assert again.scales == pytest.approx({name: scale for name, scale in lora.scales.items() if scale != 1})
    assert HEADER not in again.metadata


PIECES = st.sampled_from(
    ["conv", "in", "attn1", "to_q", "0", "1", ".", r"\.", "^", "$", "|", ".*", "[a-z]+", "(in|q)", "x"]
)


@settings(deadline=None, max_examples=300)
@example(patterns=["0"])
@example(patterns=["to_q", ATTENTION + "to_q"])
@given(patterns=st.lists(st.lists(PIECES, min_size=1, max_size=5).map("".join), min_size=1, max_size=4, unique=True))
def test_patterns_are_matched_as_peft_matches_them(patterns):
    names = [*SITES, "conv_in", "time_embedding.linear_1", "down_blocks.10.attentions.1.proj_in"]
    stated = {pattern: 2.0 + number for number, pattern in enumerate(patterns)}
    config = {"r": 4, "lora_alpha": 1.0, "alpha_pattern": stated}
    try:
        ours = scales_of(config, dict.fromkeys(names, 4), "the header")
    except IVGError as error:
        assert "too involved" in str(error)  # more repeats than are matched safely
        return
    for name in names:
        assert ours[name] == stated.get(get_pattern_key(stated, name), 1.0) / 4, name


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+b", "(x+x+)+y", "(.|.)*z", ".*.*.*q", "a" * 301, "(", "*", "[", "((ab?){9}){9}", "(?P<n>", "{" * 90],
)
def test_a_pattern_that_could_take_hours_is_refused_at_once(tmp_path, unet, halves, pattern):
    about = {"unet.r": 4, "unet.lora_alpha": 8, "unet.alpha_pattern": {pattern: 2}}
    save_file(keyed(halves), tmp_path / "x.safetensors", {HEADER: json.dumps(about)})
    began = time.monotonic()
    refuse(tmp_path / "x.safetensors", unet, "alpha_pattern")
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("patterns", [[f"x.*{n}.*" for n in range(33)], [f"x{n}" for n in range(2001)]])
def test_so_many_patterns_that_they_could_take_hours_are_refused(patterns):
    config = {"r": 4, "lora_alpha": 1, "alpha_pattern": dict.fromkeys(patterns[:-1], 2)}
    assert scales_of(config, {TO_Q: 4}, "the header") == {TO_Q: 0.25}
    with pytest.raises(IVGError, match="alpha_pattern in the header is too involved"):
        scales_of({**config, "alpha_pattern": dict.fromkeys(patterns, 2)}, {TO_Q: 4}, "the header")


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ("{", ["header", "damaged"]),
        ("[" * 100_000, ["header", "damaged"]),
        ("[1]", ["header", "damaged"]),
        ({"r": 4}, ["lora_alpha"]),
        ({"r": 8, "lora_alpha": 8}, ["rank 8", "rank 4"]),
        ({"r": 4, "lora_alpha": "8"}, ["alpha '8'"]),
        ({"r": 4, "lora_alpha": float("nan")}, ["alpha nan"]),
        ({"r": 4, "lora_alpha": True}, ["alpha True"]),
        ({"r": 4, "lora_alpha": 8, "alpha_pattern": {"to_q": None}}, ["alpha None"]),
        ({"r": 4, "lora_alpha": 8, "alpha_pattern": ["to_q"]}, ["alpha_pattern", "no object"]),
        ({"r": 4, "lora_alpha": 8, "rank_pattern": {"to_q": 2}}, ["rank 2"]),
        ({"r": 4, "lora_alpha": 8, "use_dora": True}, ["this is a DoRA"]),
        ({"r": 4, "lora_alpha": 8, "init_lora_weights": "pissa_niter_4"}, ["pissa"]),
    ],
)
@pytest.mark.parametrize("prefix", ["unet.", ""])
def test_headers_that_make_no_sense(tmp_path, unet, halves, about, words, prefix):
    if isinstance(about, dict):
        about = json.dumps({prefix + key: value for key, value in about.items()})
    save_file(keyed(halves), tmp_path / "x.safetensors", {HEADER: about})
    refuse(tmp_path / "x.safetensors", unet, *words)


def test_a_header_of_the_text_encoder_alone_says_nothing_about_the_network(tmp_path, unet, halves):
    about = {"text_encoder.r": 8, "text_encoder.lora_alpha": 4}
    save_file(keyed(halves), tmp_path / "x.safetensors", {HEADER: json.dumps(about)})
    assert read_lora(tmp_path / "x.safetensors", unet).scales == {}


def test_two_strengths_must_agree(tmp_path, unet, halves):
    about = {"unet.r": 4, "unet.lora_alpha": 8}
    for alpha, fits in ((8.0, True), (4.0, False)):
        tensors = keyed(halves) | {f"unet.{TO_Q}.alpha": torch.tensor(alpha)}
        save_file(tensors, tmp_path / "x.safetensors", {HEADER: json.dumps(about)})
        if fits:
            assert set(read_lora(tmp_path / "x.safetensors", unet).scales.values()) == {2.0}
        else:
            refuse(tmp_path / "x.safetensors", unet, "says twice", TO_Q, "2 in its header and 1")


# ---- other kinds, and layers of other networks


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        ("dora_scale", "is a DoRA"),
        ("lora_magnitude_vector", "is a DoRA"),
        ("lora_magnitude_vector.default.weight", "is a DoRA"),
        ("hada_w1_a", "mixes LoRA with LoHa layers"),
        ("lokr_w1", "mixes LoRA with LoKr layers"),
        ("lora_mid.weight", "mixes LoRA with Tucker LoCon layers"),
        ("lora_B.bias", "mixes LoRA with bias layers"),
        ("diff", "mixes LoRA with full difference layers"),
        ("oft_blocks", "mixes LoRA with OFT layers"),
    ],
)
@pytest.mark.parametrize("partial", [False, True])
def test_other_kinds_are_named_and_never_half_applied(tmp_path, unet, halves, ending, kind, partial):
    key = f"unet.{SITES[1]}.{ending}"
    save_file(keyed(halves) | {key: torch.ones(3, 1)}, tmp_path / "x.safetensors")
    refuse(tmp_path / "x.safetensors", unet, kind, "1 tensors", key, partial=partial)


def test_dora_as_peft_writes_it(tmp_path, unet):
    config = LoraConfig(r=2, target_modules=["to_q"], use_dora=True)
    write_adapter(plain_network(unet), config, tmp_path / "x.safetensors", header=False)
    refuse(tmp_path / "x.safetensors", unet, "is a DoRA")
    get_peft_model(plain_network(unet), config).save_pretrained(tmp_path)
    refuse(tmp_path / "adapter_model.safetensors", unet, "is a DoRA")


def test_a_pure_file_of_another_kind(tmp_path, unet):
    tensors = {f"lora_unet_{TO_Q.replace('.', '_')}.{end}": torch.ones(2, 2) for end in ("hada_w1_a", "hada_w1_b")}
    save_file({**tensors, "lora_unet_x.alpha": torch.tensor(1.0)}, tmp_path / "x.safetensors")
    refuse(tmp_path / "x.safetensors", unet, "is a LoHa", "2 tensors")


def test_no_layer_of_the_network_is_taken_for_another_kind(unet):
    for name, _ in unet.named_modules():
        assert not any(pattern.search(f"{name}.lora_A.weight") for pattern in OTHER_KINDS.values())
        assert not name or read_key(f"{name}.lora_A.weight") == (name, "down")


def test_layers_that_fit_nowhere_are_an_error_unless_the_user_says_so(tmp_path, unet, halves, caplog):
    others = {
        "unet.blocks.7.attn.lora_A.weight": torch.ones(4, 2),
        "unet.blocks.7.attn.lora_B.weight": torch.ones(2, 4),
        "text_encoder.layers.0.q_proj.lora_A.weight": torch.ones(4, 2),
        "emb_params": torch.ones(3),
    }
    save_file(keyed(halves) | others, tmp_path / "x.safetensors")
    words = ["3 of the 7 layers", "(first emb_params)", "1 are for the text encoder"]
    refuse(tmp_path / "x.safetensors", unet, *words, "--lora-partial")
    assert not caplog.text
    same(read_lora(tmp_path / "x.safetensors", unet, partial=True), halves)
    assert all(word in caplog.text for word in words) and "left out" in caplog.text


# ---- tensors


def whole(halves):
    return keyed(halves) | {f"unet.{TO_Q}.alpha": torch.tensor(4.0)}


UP, DOWN, ALPHA = f"unet.{TO_Q}.lora_B.weight", f"unet.{TO_Q}.lora_A.weight", f"unet.{TO_Q}.alpha"


@pytest.mark.parametrize(
    ("key", "tensor", "words"),
    [
        (UP, torch.full((32, 4), torch.nan), ["NaN or infinite values in 1 of 9 tensors", UP, "diverged"]),
        (DOWN, torch.full((4, 32), torch.inf), ["NaN or infinite values in 1 of 9 tensors", DOWN]),
        (DOWN, torch.full((4, 32), torch.nan).half(), ["NaN"]),
        (DOWN, torch.full((4, 32), torch.nan).to(torch.float8_e4m3fn), ["NaN"]),
        (ALPHA, torch.tensor(torch.nan), ["NaN", ALPHA]),
        (ALPHA, torch.ones(2), [ALPHA, "one number"]),
        (ALPHA, torch.ones((), dtype=torch.complex64), [ALPHA, "complex64"]),
        (UP, torch.ones(32, 4, dtype=torch.complex64), [UP, "complex64"]),
        (UP, torch.ones(32, 4, dtype=torch.int8), [UP, "int8"]),
        (UP, torch.ones(0, 4), [UP, "(0, 4)"]),
        (UP, torch.ones(32, 0), [UP, "(32, 0)"]),
        (UP, torch.ones(()), [UP, "()"]),
        (UP, torch.ones(128), [UP, "(128,)"]),
        (UP, None, ["only half", TO_Q]),
        (DOWN, None, ["only half", TO_Q]),
        (UP, torch.ones(32, 3), ["does not fit the model", TO_Q]),
        (UP, torch.ones(16, 4), ["does not fit the model", TO_Q]),
        (DOWN, torch.ones(4, 7), ["does not fit the model", TO_Q]),
        (f"unet.{TO_Q}.lora.up.weight", torch.ones(32, 4), ["twice"]),
    ],
)
@pytest.mark.parametrize("ending", [".safetensors", ".bin"])
def test_spoilt_tensors_are_one_sentence_each(tmp_path, unet, halves, key, tensor, words, ending):
    width = halves[TO_Q][0].shape[0]
    tensors = whole(halves)
    if tensor is None:
        del tensors[key]
    else:
        sizes = {32: width, 16: width // 2, 128: width * 4}
        shape = tuple(sizes.get(side, side) for side in tensor.shape)
        tensors[key] = (
            torch.ones(shape, dtype=tensor.dtype) if tensor.numel() < 2 else tensor.flatten()[:1].expand(shape)
        )
        tensors[key] = tensors[key].clone() if tensor.ndim else tensor
    path = tmp_path / f"x{ending}"
    save_file(tensors, path) if ending == ".safetensors" else torch.save(tensors, path)
    refuse(
        path, unet, *(word.replace("(128,)", f"({4 * width},)").replace("(32, 0)", f"({width}, 0)") for word in words)
    )


def test_halves_in_each_others_place_are_refused(tmp_path, unet):
    name = next(n for n, m in unet.named_modules() if n.endswith("ff.net.2"))  # as many numbers, the other way round
    rows, columns = unet.get_submodule(name).weight.shape
    save_file(
        {f"{name}.lora_B": torch.ones(columns, 2), f"{name}.lora_A": torch.ones(2, rows)}, tmp_path / "x.safetensors"
    )
    refuse(tmp_path / "x.safetensors", unet, "does not fit the model", name)


@pytest.mark.parametrize("ending", [".safetensors", ".SAFETENSORS", ".pt", ".bin", ".txt"])
@pytest.mark.parametrize("content", [b"", b"stir the pan\n", b"<!doctype html>", b"version https://git-lfs", bytes(64)])
def test_files_of_something_else(tmp_path, unet, ending, content):
    (tmp_path / f"x{ending}").write_bytes(content)
    refuse(tmp_path / f"x{ending}", unet, "cannot be read")


def test_a_name_with_a_line_break_stays_in_one_line(tmp_path, unet, halves):
    tensors = keyed(halves)
    broken = {key: f"\n{key[1:]}" for key in list(tensors)[:2]}
    torch.save({broken.get(key, key): half for key, half in tensors.items()}, tmp_path / "x.pt")
    with pytest.raises(IVGError, match="fit no layer of this model") as raised:
        read_lora(tmp_path / "x.pt", unet)
    assert "\n" not in str(raised.value)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), ending=st.sampled_from([".pt", ".safetensors"]))
def test_a_file_with_one_changed_byte_or_cut_anywhere(tmp_path, unet, halves, data, ending):
    path = tmp_path / f"x{ending}"
    save_file(keyed(halves), path) if ending == ".safetensors" else torch.save(keyed(halves), path)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.sampled_from([place, len(content)]))])
    try:
        read_lora(path, unet)
    except IVGError as error:
        assert str(path) in str(error) and "\n" not in str(error)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=80))
def test_any_bytes_as_a_pickle(tmp_path, unet, content):
    (tmp_path / "x.pt").write_bytes(content)
    refuse(tmp_path / "x.pt", unet)


@pytest.mark.parametrize("change", [torch.Tensor.cfloat, torch.Tensor.int, lambda t: t * torch.nan, lambda t: t[:0]])
def test_spoilt_lists(golden, tmp_path, unet, change):
    tensors = torch.load(golden / "lora_cloneofsimo_r2.pt", weights_only=True)
    tensors[3] = change(tensors[3])
    torch.save(tensors, tmp_path / "x.pt")
    refuse(tmp_path / "x.pt", unet, "3")


@pytest.mark.parametrize(("key", "value"), [("ivg_stage", "3"), ("ivg_stage", "x"), ("ivg_zero_terminal_snr", "maybe")])
def test_metadata_that_makes_no_sense(tmp_path, unet, halves, key, value):
    save_file(keyed(halves), tmp_path / "x.safetensors", {key: value})
    refuse(tmp_path / "x.safetensors", unet, repr(value))


TENSORS = st.builds(
    lambda shape, dtype, value: torch.full(shape, value).to(dtype),
    st.lists(st.integers(0, 5), max_size=3).map(tuple),
    st.sampled_from([torch.float32, torch.float16, torch.int64, torch.bool, torch.complex64, torch.float8_e5m2]),
    st.sampled_from([0.0, 1.0, 1e38, float("nan"), float("inf")]),
)
KEYS = st.builds(
    lambda before, name, end: before + name + end,
    st.sampled_from(["", "unet.", "lora_unet_", "base_model.model.", "text_encoder."]),
    st.sampled_from([TO_Q, "conv_in", "x", "", TO_Q.replace(".", "_")]),
    st.sampled_from(
        [".lora_A.weight", ".lora.up.weight", "_lora.down.weight", ".alpha", ".lora_up", ".weight", ".", ""]
    ),
)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tensors=st.dictionaries(KEYS.filter(bool), TENSORS, max_size=5), partial=st.booleans())
def test_whatever_a_file_holds_it_is_a_lora_that_fits_or_one_sentence(tmp_path, unet, tensors, partial):
    path = tmp_path / "x.safetensors"
    save_file(tensors, path)
    try:
        lora = read_lora(path, unet, partial)
    except IVGError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return
    lora.check(unet)


# ---- adding it


def test_a_strength_that_makes_infinity_changes_nothing(unet, halves, tmp_path):
    save_file(keyed(halves), tmp_path / "x.safetensors")
    lora, before = read_lora(tmp_path / "x.safetensors", unet), unet.get_submodule(TO_Q).weight.clone()
    for strength in (1e39, float("nan"), float("inf")):
        with pytest.raises(IVGError, match=r"makes NaN or infinite values in .* of 4 tensors \(first mid_block"):
            merge_lora(unet, lora, strength)
    assert torch.equal(unet.get_submodule(TO_Q).weight, before)


def test_layers_that_share_memory_are_saved(tmp_path, unet, halves):
    shared = LoRA({TO_Q: halves[TO_Q], SITES[1]: halves[TO_Q]})
    same(read_lora(save_lora(shared, tmp_path / "x.safetensors"), unet), shared.layers)


def test_a_converted_file_keeps_the_strength_of_the_header(tmp_path, unet, halves):
    save_file(keyed(halves), tmp_path / "x.safetensors", {HEADER: json.dumps({"unet.r": 4, "unet.lora_alpha": 8})})
    written = load_file(save_lora(read_lora(tmp_path / "x.safetensors", unet), tmp_path / "ours.safetensors"))
    assert {float(written[f"diffusion_model.{name}.alpha"]) for name in SITES} == {8.0}
