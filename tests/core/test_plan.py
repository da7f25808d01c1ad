"""From a text of several steps to a plan: lists keep their words, free text becomes sentences, odd input is named."""

import json
import logging
import re

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from ivg_core.errors import IVGError
from ivg_core.howto.ask import INSTRUCTION
from ivg_core.howto.lines import broken_up
from ivg_core.howto.plan import MASK_SOURCES, Plan, Step, read_plan, write_list, write_plan
from ivg_core.howto.sentences import sentences
from ivg_core.media.text import NO_TEXT
from ivg_core.sampling.noise import MAX_SEED

WORDS = st.lists(
    st.sampled_from("peel the carrot cut it in 2 cups e.g. serve 1.5 l now".split()), min_size=2, max_size=9
)
ACTIONS = WORDS.map(lambda words: " ".join(["Take", *words]))
ANY_TEXT = st.text(max_size=60).map(lambda text: NO_TEXT.sub("", text))
STEPS = st.builds(
    Step,
    action=ANY_TEXT.map(lambda text: f"a{text}"),
    seconds=st.none() | st.floats(0.1, 120),
    seed=st.none() | st.integers(0, MAX_SEED),
    mask=st.sampled_from(MASK_SOURCES),
    title=ANY_TEXT,
)
PLANS = st.builds(Plan, st.lists(STEPS, min_size=1, max_size=6).map(tuple), ANY_TEXT, st.integers(0, MAX_SEED))
NUMERALS = ["一", "二", "三", "四", "五", "六", "七", "八", "九", "十", "十一", "十二"]


def actions(text, **options):
    return [step.action for step in read_plan(text, **options).steps]


# -- lists keep their words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mark",
    [
        lambda n: f"{n}. ", lambda n: f"{n}) ", lambda n: f"({n}) ", lambda n: f"[{n}] ", lambda n: f"{n}: ",
        lambda n: f"Step {n}: ", lambda n: f"**STEP {n}** - ", lambda n: f"### Step {n}. ", lambda n: f"- {n}. ",
        lambda n: chr(ord("①") + n - 1), lambda n: f"第{NUMERALS[n - 1]}步：", lambda n: f"第{n}步 ",
        lambda n: f"手順{n} ",
        lambda n: f"{n}\ufe0f\u20e3 ", lambda n: "- ", lambda n: "* ", lambda n: "• ", lambda n: "- [ ] ",
    ],
)  # fmt: skip
@settings(max_examples=25)
@given(st.lists(ACTIONS, min_size=2, max_size=12))
def test_a_list_keeps_its_words(mark, said):
    text = "\n".join(mark(n) + action for n, action in enumerate(said, 1))
    assert actions(text) == said
    assert actions(text.replace("\n", "\r\n\r\n")) == said


def test_lines_are_steps():
    assert actions("peel the carrot\n\ncut the carrot\nserve") == ["peel the carrot", "cut the carrot", "serve"]
    assert actions("Peel it.\nCut it, e.g. with a knife.\n") == ["Peel it.", "Cut it, e.g. with a knife."]
    assert actions("Peel\n---\nCut") == ["Peel", "Cut"]


def test_a_list_without_line_breaks():
    assert actions("1. Peel it. 2. Cook it for 2.5 min 3. Serve") == ["Peel it.", "Cook it for 2.5 min", "Serve"]
    assert actions("Step 1: Peel. Step 2: Repeat step 3. Step 3: End") == ["Peel.", "Repeat step 3.", "End"]
    assert actions("第一步：切菜。第二步：炒菜。") == ["切菜。", "炒菜。"]
    assert broken_up("1. Add 2 eggs and 3. Stir") == "1. Add 2 eggs and 3. Stir"


@pytest.mark.parametrize(
    ("text", "title", "steps"),
    [
        ("# Tea\n\n- **Boil** the water\n- Pour it over the `tea`\n  slowly\n", "Tea",
         ["Boil the water", "Pour it over the tea slowly"]),
        ("Make tea:\nboil the water\npour it", "Make tea", ["boil the water", "pour it"]),
        ("A fine tea\n1. Boil the [water](https://a.b/c)\n2. Pour", "A fine tea", ["Boil the water", "Pour"]),
        ("# Soup\n## Ingredients\n1. 2 carrots\n2. water\n## Method\n1. Chop\n   - with a knife\n2. Boil", "Soup",
         ["Chop, with a knife", "Boil"]),
        ("1. Peel\n\n   Hold it well.\n2. Cut\n\nBon appetit!", "", ["Peel. Hold it well.", "Cut"]),
        ("用料：\n- 胡萝卜\n\n做法：\n- 削皮\n- 切块", "", ["削皮", "切块"]),
        ("1. Take 1.5 cups\n   1. in\n2. Pour *well*, 2 * 3 times", "",
         ["Take 1.5 cups in", "Pour well, 2 * 3 times"]),
    ],
)  # fmt: skip
def test_markdown(text, title, steps):
    plan = read_plan(text)
    assert (plan.title, [step.action for step in plan.steps]) == (title, steps)


def test_headings_are_the_titles_of_what_stands_below_them():
    plan = read_plan("### Step 1: Peeling\nPeel it with care.\n\n### Step 2: Cut it\n\n### Step 3\n\nServe it.")
    assert [(step.title, step.action) for step in plan.steps] == [
        ("Peeling", "Peel it with care."),
        ("", "Cut it"),
        ("", "Serve it."),
    ]
    assert [step.caption for step in plan.steps] == ["Peeling", "Cut it", "Serve it."]


def test_what_is_left_out_is_said(caplog):
    with caplog.at_level(logging.WARNING, "ivg"):
        assert len(read_plan("# Tea\nIngredients:\n- water\n\n1. Boil\n2. Pour\n\nEnjoy!").steps) == 2
    assert 'line 3 ("water")' in caplog.text and 'line 8 ("Enjoy!")' in caplog.text
    assert "Tea" not in caplog.text and "Ingredients" not in caplog.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1. a\n2. b\n\n2. c", "Line 2 and line 4 both have the number 2"),
        ("1. a\n1. b", "Line 1 and line 2 both have the number 1"),
        ("1. a\n3. b\n2. c", "Line 3 has the number 2 and stands after 3"),
        ("①a\n第一步 b", "both have the number 1"),
    ],
)
def test_numbers_that_mean_nothing(text, said):
    with pytest.raises(IVGError, match=said):
        read_plan(text)


def test_a_gap_in_the_numbers_is_harmless_and_said(caplog):
    with caplog.at_level(logging.WARNING, "ivg"):
        assert actions("3. a\n4. b\n6. c\n9. d") == ["a", "b", "c", "d"]
    assert "no number 5, between line 2 and line 3" in caplog.text
    assert "no numbers 7 to 8, between line 3 and line 4" in caplog.text and len(caplog.records) == 2


# -- free text ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Cut it, e.g. With a knife. fry it in 1.5 l of oil.",
         ["Cut it, e.g. With a knife.", "fry it in 1.5 l of oil."]),
        ("Fry it for 5 min. until brown. Wait 5 min. Stir.",
         ["Fry it for 5 min. until brown.", "Wait 5 min.", "Stir."]),
        ("Cut slices (approx. 3 cm. Not more.) of it. Done", ["Cut slices (approx. 3 cm. Not more.) of it.", "Done"]),
        ("Say “Stir!” and stir. (Really.) Done", ["Say “Stir!” and stir.", "(Really.)", "Done"]),
        ("An open ( bracket. It never ends. Ever", ["An open ( bracket.", "It never ends.", "Ever"]),
        ("Dr. A. Oetker says: “Stir!” Then wait... and serve… Now", ["Dr. A. Oetker says: “Stir!”",
         "Then wait... and serve…", "Now"]),
        ("Heat it to 180. Add 2 eggs? Yes!", ["Heat it to 180.", "Add 2 eggs?", "Yes!"]),
        ("洗净。切成3.5厘米的块！放入锅中（小火。慢煮）。好",
         ["洗净。", "切成3.5厘米的块！", "放入锅中（小火。慢煮）。", "好"]),
        ("人参を洗う。「よし。」と言う。切る。", ["人参を洗う。", "「よし。」と言う。", "切る。"]),
    ],
)  # fmt: skip
def test_sentences(text, found):
    assert sentences(text) == found


@given(st.text(".!?。 a(1)e.g\n"))
def test_sentences_lose_nothing(text):
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


def test_a_recipe():
    text = (
        "Tomato soup\n\nIngredients:\n- water\n\nChop onions. Fry them\nin oil until soft. Add\ntomatoes.\n\nServe hot."
    )
    plan = read_plan(text)
    assert plan.title == "Tomato soup"
    assert [step.action for step in plan.steps] == [
        "Chop onions.",
        "Fry them in oil until soft.",
        "Add tomatoes.",
        "Serve hot.",
    ]
    wrapped = "Chop the onions\nvery finely. Then fry\nthem for a while\nin a lot of oil\nuntil they are soft."
    assert actions(wrapped)[0] == "Chop the onions very finely." and len(actions(wrapped)) == 2
    assert actions("Ingredients\nflour\neggs\n\nMix them. Bake at 180.") == ["Mix them.", "Bake at 180."]
    assert actions("先把胡萝卜\n洗净。再切\n成块。最后炒熟。") == ["先把胡萝卜洗净。", "再切成块。", "最后炒熟。"]


class Model:
    """Answers what it is told to, and keeps what it is asked."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    def ask(self, *asked):
        self.asked.append(asked)
        return self.answer


def test_a_model_is_asked_about_free_text_alone():
    photo, model = torch.zeros(4, 4, 3), Model("<think>1. no</think>Sure!\n\n1. **Peel** it.\n2. Cut it.")
    plan = read_plan("# Carrots\nPeel it, then it is cut. That is all.", by=model, photo=photo)
    assert plan.title == "Carrots" and [step.action for step in plan.steps] == ["Peel it.", "Cut it."]
    instruction, question, seen, _ = model.asked[0]
    assert instruction == INSTRUCTION.format(most=100) and seen is photo
    assert "Peel it, then it is cut. That is all." in question
    for text in ("1. a\n2. b", "a\nb", "- a", '["Peel it. Cut it. Serve."]'):
        read_plan(text, by=model)
    assert len(model.asked) == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [("I cannot help with that.", "is no list of steps"), ("", "is no list"), ("1. a\n1. b", "both have the number 1")],
)
def test_answers_that_are_no_list(answer, said):
    with pytest.raises(IVGError, match=f"The language model's answer: .*{said}"):
        read_plan("Peel it. Cut it.", by=Model(answer))


# -- marks and seeds ---------------------------------------------------------------------------------------------------


def test_marks():
    text = "# Tea [seed 9]\n1. Boil (4 s)\n2. Pour. [seed 7] (2.5s)\n"
    text += "3. Stir [mask find] [title Stirring] (1 second).\n4. 等（3秒）"
    assert read_plan(text) == Plan(
        (
            Step("Boil", 4),
            Step("Pour.", 2.5, 7),
            Step("Stir.", 1, mask="find", title="Stirring"),
            Step("等", 3),
        ),
        "Tea",
        9,
    )
    assert actions("Pour. (4 s).\nStir") == ["Pour.", "Stir"]
    assert read_plan("Pour. (4 s) [seed 7] Stir.").steps == (Step("Pour.", 4, 7), Step("Stir."))
    assert actions("Peel it (4 s). Cut it.") == ["Peel it.", "Cut it."]
    assert actions('["Add salt [optional]", "Add (4 spoons)", "Bake (4 s) well"]') == [
        "Add salt [optional]",
        "Add (4 spoons)",
        "Bake (4 s) well",
    ]
    assert read_plan("Tea (20 seconds):\nboil\npour").title == "Tea (20 seconds)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\nb [seed x]", r'Line 2 has "\[seed x\]"'),
        ("1. a [seed 1] [seed 2]", "Line 1 has two marks for its seed"),
        ("a\nb (0 s)", "Step 2: seconds is 0"),
        ("a\nb [seed 99999999999999999999]", "Step 2: seed is"),
        ("1. a\n2. (4 s)", "Line 2 says nothing"),
        ("a\nb [mask fin]", "Step 2: there is no mask at fin; did you mean 'find'?"),
    ],
)
def test_odd_marks(text, said):
    with pytest.raises(IVGError, match=said):
        read_plan(text)


@given(PLANS)
def test_every_step_has_a_seed_of_its_own(plan):
    own = [step.seed for step in plan.steps if step.seed is not None]
    derived = [seed for seed, step in zip(plan.seeds, plan.steps, strict=True) if step.seed is None]
    assert [seed for seed, step in zip(plan.seeds, plan.steps, strict=True) if step.seed is not None] == own
    assert len({*derived}) == len(derived) and not {*derived} & {*own}
    assert all(0 <= seed <= MAX_SEED for seed in plan.seeds)


def test_a_seed_of_one_step_leaves_the_others():
    a, b = Step("a"), Step("b", seed=77)
    assert Plan((a, a, a), seed=5).seeds == [5, 6, 7]
    assert Plan((a, b, a), seed=5).seeds == [5, 77, 7]
    assert Plan((a, a, Step("c", seed=6)), seed=5).seeds == [5, 9, 6]
    assert Plan((a, a), seed=MAX_SEED).seeds == [MAX_SEED, 0]


# -- writing -----------------------------------------------------------------------------------------------------------


@given(PLANS)
@example(Plan((Step('a "quoted" \\ step', 0.1),), "1. no number"))
def test_json_reads_back_equal(plan):
    assert read_plan(write_plan(plan)) == plan
    assert read_plan("```json\n" + write_plan(plan) + "```") == plan


@given(st.lists(st.builds(Step, ACTIONS, st.none() | st.floats(0.1, 120), st.none() | st.integers(0, MAX_SEED),
       st.sampled_from(MASK_SOURCES), title=ACTIONS | st.just("")), min_size=1, max_size=20), ACTIONS | st.just(""),
       st.integers(0, 9))  # fmt: skip
def test_a_list_reads_back_equal(steps, title, seed):
    plan = Plan(tuple(steps), title, seed)
    assert read_plan(write_list(plan)) == plan


@given(PLANS)
def test_a_list_reads_back_equal_or_is_refused(plan):
    try:
        text = write_list(plan)
    except IVGError as error:
        assert "as JSON" in str(error)
    else:
        assert read_plan(text) == plan


def test_what_no_list_can_hold_is_refused():
    assert write_list(Plan((Step("Cut it", 4, 7),), "Tea", 3)) == "# Tea [seed 3]\n\n1. Cut it (4 s) [seed 7]\n"
    for plan in (Plan((Step("Cut it (4 s)"),)), Plan((Step("a"),), "1. Tea"), Plan((Step("**a**"),))):
        with pytest.raises(IVGError, match="as JSON"):
            write_list(plan)


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no steps"),
        ("\ufeff \n", "has no steps"),
        ("# Tea", "has no steps"),
        ("[]", "has no steps"),
        ("- a [seed x]\n" * 200, "has 200 steps, and at most 100"),
        (json.dumps(["a"] * 101), "has 101 steps, and at most 100"),
        ("a\n" + "word " * 500, r'Step 2 \("word .*…"\) has 500 words, and at most 100'),
        ("切" * 101, "has 101 words"),
        ("a" * 1001, "Step 1 has 1001 letters"),
        ("# " + "a" * 1001 + "\n- b", "title has 1001 letters"),
        ("a " * 150_001, "300,002 letters"),
        ("a\n...", "Step 2 says nothing"),
        ("1.\n2. b", "Line 1 says nothing"),
        ("a \ud800", r"The plan holds .*U\+D800"),
        ('["a", "b \\udfff"]', r"Step 2 holds .*U\+DFFF"),
        ('{"title": "\\u0000", "steps": ["a"]}', r"title holds .*U\+0000"),
        ('["a",', "is not JSON"),
        ('{"steps": ', "is not JSON"),
        ("[" * 100_000, "is not JSON|no steps|says nothing"),
        ('{"titel": "T", "steps": ["a"]}', "'titel'; did you mean 'title'"),
        ('{"title": 5, "steps": ["a"]}', "title is 5, but a text"),
        ('{"title": "T"}', "has no steps"),
        ('{"steps": "a"}', "steps are no list"),
        ('{"seed": -1, "steps": ["a"]}', "The plan's seed is -1"),
        ('["a", {"acton": "b"}]', "Step 2: there is no setting 'acton'; did you mean 'action'"),
        ('["a", {"title": "b"}]', "Step 2: action is missing"),
        ('["a", {"action": ["b"]}]', "Step 2: action is a list, but a text"),
        ('[{"action": "a", "seconds": "long"}]', "Step 1: seconds is 'long', but a finite number"),
        ('[{"action": "a", "seconds": NaN}]', "Step 1: seconds is nan"),
        ('[{"action": "a", "seconds": 121}]', "Step 1: seconds is 121"),
        ('[{"action": "a", "seed": 1.5}]', "Step 1: seed is 1.5, but a whole number"),
        ('[{"action": "a", "mask": ""}]', "Step 1: mask is empty"),
        ('[{"action": "a", "image": "\\u0000"}]', "Step 1: image holds"),
        ('["a", 5]', "Step 2 is neither"),
        ('["a", {"action": "b", "image": "no.png"}]', "Step 2: there is no photo at no.png"),
    ],
)
def test_bad_input(text, said):
    with pytest.raises(IVGError, match=said):
        read_plan(text)


@given(st.text() | st.text('1.2)-#*[]{}":, \n(4 s)seed①第一步。ab', max_size=80))
def test_any_text_is_a_plan_or_refused(text):
    try:
        plan = read_plan(text)
    except IVGError as error:
        assert re.search("[.?]$", str(error))
    else:
        assert plan == read_plan(write_plan(plan)) and len(plan.seeds) == len(plan.steps)


@pytest.mark.parametrize(
    "part",
    ["**a ", "*a ", "[a](", "# ", "1. ", "(", "a. ", "(a. ", "。", "[seed 1] ", "第一步", "\n- a", "\n1. a", "__"],
)
def test_long_hostile_texts_end(part):
    with pytest.raises(IVGError):
        read_plan(part * (99_999 // len(part)))


def test_photos_and_masks_are_found_beside_the_plan(tmp_path):
    for name in ("a.png", "m.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    text = '["Peel", {"action": "Cut", "image": "a.png", "mask": "m.png"}]'
    plan = read_plan(text, folder=tmp_path)
    assert (plan.steps[1].image, plan.steps[1].mask) == (str(tmp_path / "a.png"), str(tmp_path / "m.png"))
    assert read_plan(write_plan(plan)) == plan == read_plan(write_list(plan), folder=tmp_path)
    assert plan.steps[0] == Step("Peel")
    (tmp_path / "m.png").unlink()
    with pytest.raises(IVGError, match=r"Step 2: there is no mask at .*m\.png"):
        read_plan(text, folder=tmp_path)
