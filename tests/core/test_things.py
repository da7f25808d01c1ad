import pytest

from ivg_core.enrich.things import named_things, segmenter_prompt
from ivg_core.errors import IVGError


@pytest.mark.parametrize(
    ("sentence", "names"),
    [
        ("The person cuts the carrot with a knife.", ["carrot", "knife"]),
        ("She pours a bottle of soy sauce into the small bowl", ["bottle of soy sauce", "small bowl"]),
        ("The man holds an egg over his pan, and the tap is turned on", ["egg", "pan", "tap"]),
        ("Take the top of the jar off", ["top", "jar"]),
        ("The user's left hand rests on the chopping board near the sink providing water", ["chopping board", "sink"]),
        ("Wear the ring and grab some non-stick wok", ["ring", "non-stick wok"]),
        ("the carrot, the carrot and the Carrot", ["carrot"]),
        ("The person uses both hands", []),
        ("julienne carrot", []),
        ("人が人参を切る", []),
        ("the", []),
        ("", []),
    ],
)
def test_things_are_what_follows_an_article(sentence, names):
    assert named_things(sentence) == names


def test_the_prompt_says_how_many_of_each():
    assert segmenter_prompt(["carrot", "knife"]) == "carrot:2, knife:2"
    assert segmenter_prompt(["carrot"], each=1, hands=4) == "hand:4, carrot:1"
    assert segmenter_prompt([], hands=2) == "hand:2"


@pytest.mark.parametrize("wrong", [{"each": 0}, {"hands": -1}])
def test_wrong_counts_are_named(wrong):
    with pytest.raises(IVGError, match="at least 1 and 0"):
        segmenter_prompt(["carrot"], **wrong)
