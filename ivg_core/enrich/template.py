"""The sentence without any model: a small grammar of what hands do, for English actions. The offline default."""

from __future__ import annotations

import logging
import re

log = logging.getLogger("ivg")

# {a} is the thing with its article ("a carrot"), {the} the same later on ("the carrot"), {do} the verb as it stands.
CUT = "holds {a} on the chopping board with the left hand and uses {tool} in the right hand to {do} {the}"
HOLD = "holds {a} with the left hand and uses {tool} in the right hand to {do} {the}"
STEADY = "steadies {vessel} with the left hand and uses {tool} in the right hand to {do} {the}"
BOTH = "holds {a} with the left hand and uses the right hand to {do} {the}"
SURFACE = "rests the left hand beside {the} and uses {tool} in the right hand to {do} {the}"
POUR = "steadies {vessel} with the left hand and uses the right hand to {do} {the}"
RIGHT = "uses the right hand to {do} {the}"
TOOL = "uses {tool} in the right hand to {do} {the}"
PRESS = "uses both hands to {do} {the}"

#: verb -> (how it is done, the usual tool, the usual vessel)
VERBS: dict[str, tuple[str, str, str]] = {
    **dict.fromkeys(
        "julienne slice cut chop dice mince halve quarter trim carve debone fillet score".split(), (CUT, "a knife", "")
    ),
    "peel": (HOLD, "a peeler", ""),
    **dict.fromkeys("grate shred zest".split(), (HOLD, "a grater", "")),
    **dict.fromkeys("stir mix sauté saute fry toss".split(), (STEADY, "a spoon", "the pan")),
    **dict.fromkeys("whisk beat".split(), (STEADY, "a whisk", "the bowl")),
    **dict.fromkeys("mash crush grind".split(), (STEADY, "a masher", "the bowl")),
    "spread": (STEADY, "a knife", "the bread"),
    "butter": (HOLD, "a knife", ""),
    **dict.fromkeys("brush glaze".split(), (HOLD, "a brush", "")),
    **dict.fromkeys("scoop serve ladle".split(), (STEADY, "a spoon", "the bowl")),
    **dict.fromkeys("flip turn".split(), (STEADY, "a spatula", "the pan")),
    **dict.fromkeys("scrub".split(), (HOLD, "a sponge", "")),
    **dict.fromkeys("wash rinse clean".split(), (BOTH, "", "")),
    **dict.fromkeys("wipe polish".split(), (SURFACE, "a cloth", "")),
    "dry": (HOLD, "a cloth", ""),
    **dict.fromkeys("open close unscrew squeeze unwrap wrap tear break fold crack shake dip".split(), (BOTH, "", "")),
    "pour": (POUR, "", "the bowl"),
    **dict.fromkeys("knead roll press flatten".split(), (PRESS, "", "")),
    **dict.fromkeys("take put place grab lift pick move push pull add sprinkle remove drop".split(), (RIGHT, "", "")),
    **dict.fromkeys(("turn on", "turn off", "turn up", "turn down"), (RIGHT, "", "")),
}  # fmt: skip
PARTICLES = ("up", "down", "off", "on", "out", "open")
UNCOUNTED = set(
    "bread butter cheese coffee cream dough flour fruit garlic ginger honey juice meat milk oil pasta rice salad salt "
    "sauce soup sugar tea water wine beef chicken pork fish lettuce cabbage celery parsley basil mint corn "
    "jam paper".split()
)
DRINKS = set("tea coffee cocoa".split())  # their vessel is a cup
#: What stands or hangs by itself, or is worked with one hand: the left hand does not hold it.
FIXED = set(
    "door gate window wall floor ceiling fence drawer cupboard cabinet wardrobe shelf fridge refrigerator freezer oven "
    "stove dishwasher microwave sink bathtub car page key lock knob switch button dial handle lever tap faucet teeth "
    "hair face".split()
)
#: What is cut by scissors, and not on a chopping board.
SOFT = set("paper cardboard card ribbon tape rope string thread yarn wire cloth fabric bag packet package".split())
#: What follows their "with" is no tool: "fill the cup with water".
FILLS = set("fill cover coat stuff top season sprinkle decorate garnish".split())
ARTICLES = (
    "a ",
    "an ",
    "the ",
    "some ",
    "this ",
    "that ",
    "these ",
    "those ",
    "his ",
    "her ",
    "their ",
    "my ",
    "your ",
)
SUBJECT = re.compile(r"^(the|a) (person|hand|cook|woman|man|user)s?\b\s*", re.IGNORECASE)
REST = re.compile(r"\s+(?=(?:with|into|onto|in|on|from|to|over|under|for|at|inside)\b)", re.IGNORECASE)


def fill_template(action: str) -> str:
    """Say in one sentence what the hands do.

    Args:
        action: a few English words, verb first: "julienne carrot", "stir the soup with a wooden spoon".

    Returns:
        The sentence. What names a hand already comes back as it is, and so does, with a warning, what is not English.
    """
    text = " ".join(action.split()).rstrip(".!")
    if not text or re.search(r"\bhands?\b", text, re.IGNORECASE):
        return text and text[0].upper() + text[1:] + "."
    words = SUBJECT.sub("", text).split()
    verb, rest = words[0].lower(), words[1:]
    if verb not in VERBS and verb.endswith("s") and _stem(verb) in VERBS:
        verb = _stem(verb)  # "The person stirs the pan"
    if verb not in VERBS and not text.isascii():
        log.warning('The template knows only English, so "%s" stays as it is: take another way to enrich it.', text)
        return text
    if rest and rest[0].lower() in PARTICLES:
        verb, rest = f"{verb} {rest[0].lower()}", rest[1:]
    do = verb
    if len(rest) > 1 and rest[0].lower() == "and":  # peel and slice the carrot
        do, rest = f"{verb} and {rest[1]}", rest[2:]
    if not rest or REST.match(f" {rest[0]} "):  # nothing is named that could be held
        return f"The person uses the right hand to {' '.join([do, *rest])}."
    thing, *phrases = REST.split(" ".join(rest))
    how, tool, vessel = VERBS.get(verb) or VERBS.get(verb.split()[0]) or (BOTH, "", "")
    kind = _last(thing)
    if kind in FIXED:
        tool = tool if how in (HOLD, SURFACE) else ""  # a spatula turns no page
        how = TOOL if tool else RIGHT
    elif kind in SOFT and how == CUT:
        how, tool = HOLD, "scissors"
    elif kind in DRINKS and vessel:
        vessel = "the cup"
    tail = []
    if " " in thing and thing.endswith("ly"):  # chop parsley finely
        thing, _, manner = thing.rpartition(" ")
        tail.append(manner)
    for phrase in phrases:
        preposition, _, other = phrase.partition(" ")
        stuff = verb in FILLS or _last(other) in UNCOUNTED or _last(other) == "egg"
        if preposition.lower() == "with" and other and not stuff:  # the user names the tool
            tool = with_article(other)
            how = how if "{tool}" in how else TOOL if kind in FIXED else HOLD
            continue
        if preposition.lower() in ("in", "into", "on") and other:
            vessel = the(other)
        tail.append(f"{preposition} {the(other)}" if other else preposition)
    the_thing = " ".join([the(thing), *tail])
    done = how.format(a=with_article(thing), the=the_thing, do=do, tool=tool, vessel=vessel)
    return f"The person {done}."


def with_article(thing: str) -> str:
    """The thing as it is first spoken of: a carrot, an onion, the rice, carrots."""
    lowered = thing.lower()
    if lowered.startswith(ARTICLES):
        return thing
    last = lowered.split()[-1]
    if last in UNCOUNTED:
        return f"the {thing}"
    if last.endswith("s") and not last.endswith("ss"):
        return thing
    return f"an {thing}" if lowered[0] in "aeiou" else f"a {thing}"


def the(thing: str) -> str:
    """The thing as it is spoken of again: the carrot."""
    first, _, rest = thing.partition(" ")
    if rest and first.lower() in ("a", "an", "some"):
        return f"the {rest}"
    return thing if thing.lower().startswith(ARTICLES) else f"the {thing}"


def _last(thing: str) -> str:
    """The word that says what a thing is: door, for "the front doors"."""
    word = thing.lower().split()[-1] if thing.strip() else ""
    return word.removesuffix("s") if word.removesuffix("s") in FIXED | SOFT | {"egg"} else word


def _stem(verb: str) -> str:
    for ending in ("es", "s"):
        if verb.removesuffix(ending) in VERBS:
            return verb.removesuffix(ending)
    return verb
