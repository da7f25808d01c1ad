"""From "julienne carrot" to a sentence: by the template, by a local model, by a server that may misbehave."""

import http.server
import json
import logging
import socket
import threading
import time

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from tiny_vlm import make_vlm

from ivg_core.cli import main
from ivg_core.enrich.address import is_own
from ivg_core.enrich.answer import EXAMPLE, INSTRUCTION, sentence_in
from ivg_core.enrich.answer import question as ask_for
from ivg_core.enrich.enrich import enrich_action
from ivg_core.enrich.local import LocalModel
from ivg_core.enrich.server import Server
from ivg_core.enrich.template import VERBS, fill_template
from ivg_core.errors import IVGError

RED, BLUE = torch.zeros(24, 32, 3), torch.zeros(24, 32, 3)
RED[..., 0], BLUE[..., 2] = 1, 1
POT = "The person holds the pot with the left hand."


# -- the template ------------------------------------------------------------------------------------------------------


def test_the_papers_sentence():
    assert enrich_action("julienne carrot") == EXAMPLE


@pytest.mark.parametrize(
    ("action", "parts"),
    [
        (
            "stir the soup with a wooden spoon",
            ["steadies the pan with the left hand", "a wooden spoon in the right hand"],
        ),
        ("pour milk into cup", ["steadies the cup", "to pour the milk into the cup."]),
        ("cut onion with scissors", ["holds an onion", "uses scissors in", "to cut the onion."]),
        ("chop parsley finely", ["holds the parsley on", "to chop the parsley finely."]),
        ("slice onions", ["holds onions on", "slice the onions"]),
        ("The person peels a potato", ["holds a potato", "a peeler", "to peel the potato."]),
        ("turn on tap", ["uses the right hand to turn on the tap."]),
        ("wipe the counter", ["rests the left hand beside the counter", "a cloth"]),
        ("frobnicate widget", ["holds a widget with the left hand", "right hand to frobnicate the widget."]),
        ("stir with a spoon", ["uses the right hand to stir with a spoon."]),
        ("unlock the door with a key", ["person uses a key in the right hand to unlock the door."]),
        ("open the front door", ["person uses the right hand to open the front door."]),
        ("scrub the floor", ["person uses a sponge in the right hand to scrub the floor."]),
        ("turn the page", ["person uses the right hand to turn the page."]),
        ("turn the key in the lock", ["person uses the right hand to turn the key in the lock."]),
        ("press the button", ["person uses the right hand to press the button."]),
        ("flip the pancake", ["steadies the pan", "a spatula in the right hand to flip the pancake."]),
        ("fill the cup with water", ["holds the cup", "uses the right hand to fill the cup with the water."]),
        ("wash the carrot with water", ["holds the carrot", "uses the right hand to wash the carrot with the water."]),
        ("mix flour with water", ["uses a spoon in", "to mix the flour with the water."]),
        ("brush the dough", ["holds the dough", "uses a brush in"]),
        ("spread butter on the toast", ["steadies the toast", "a knife in", "to spread the butter on the toast."]),
        ("stir the tea", ["steadies the cup", "a spoon in"]),
        ("cut the ribbon", ["holds the ribbon with", "uses scissors in"]),
        ("cut paper with a knife", ["holds the paper with", "uses a knife in"]),
        ("peel and slice the carrot", ["holds the carrot with", "a peeler in", "to peel and slice the carrot."]),
        ("peel and slice", ["uses the right hand to peel and slice."]),
    ],
)
def test_what_hands_do(action, parts):
    sentence = fill_template(action)
    assert sentence.startswith("The person ") and sentence.endswith(".")
    assert all(part in sentence for part in parts), sentence


def test_a_sentence_with_hands_stays():
    assert fill_template(EXAMPLE) == EXAMPLE
    assert fill_template("the left hand holds a cup") == "The left hand holds a cup."


def test_other_languages_stay_and_it_is_said(caplog):
    with caplog.at_level(logging.WARNING, "ivg"):
        assert fill_template("切胡萝卜") == "切胡萝卜"
    assert "only English" in caplog.text


@given(st.sampled_from(sorted(VERBS)), st.text("abc dels", min_size=1).filter(str.strip))
@example("wipe", "a")  # an article alone
def test_every_verb_makes_a_sentence_that_keeps_the_thing(verb, thing):
    sentence = fill_template(f"{verb} {thing}")
    assert sentence.startswith("The person ") and verb.split()[0] in sentence and sentence.count("  ") == 0
    assert thing.split()[-1] in sentence and "{" not in sentence
    assert fill_template(sentence) == sentence  # enriching twice is enriching once


def test_nothing_to_enrich():
    with pytest.raises(IVGError, match="no action"):
        enrich_action("  ")


# -- what is kept of an answer -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        POT,
        f'Sentence: "{POT}"',
        f"<think>The pot is red. I see it.</think>\n\n{POT}\n",
        f"Sure!\n\n**{POT}** It is what was asked.",
        POT.rstrip("."),
    ],
)
def test_the_sentence_is_found(answer):
    assert sentence_in(answer, "it") == POT


@pytest.mark.parametrize("answer", ["", "...", "<think>I never end thinking about pots", "!?#", "ok"])
def test_no_sentence_is_an_error(answer):
    with pytest.raises(IVGError, match="tiny gave no sentence"):
        sentence_in(answer, "tiny")


def test_endless_answers_are_cut(caplog):
    with caplog.at_level(logging.WARNING, "ivg"):
        assert len(sentence_in("word " * 500, "it").split()) == 60
    assert "cut off" in caplog.text


# -- a local model -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vlm(tmp_path_factory):
    return make_vlm(tmp_path_factory.mktemp("vlm"), "hold it", {"red pot": RED, "big pan": BLUE})


def test_a_local_model_sees_the_photo(vlm):
    model = LocalModel(vlm)
    assert model("hold it", RED) == "Hold the red pot."
    assert model("hold it", BLUE) == "Hold the big pan."


def test_a_local_model_is_asked_by_command(vlm, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    Image.new("RGB", (32, 24), "blue").save(tmp_path / "p.png")
    assert main(["enrich", "hold it", "--image", str(tmp_path / "p.png"), "--vlm", str(vlm)]) == 0
    assert capsys.readouterr().out.strip().endswith("Hold the big pan.")


def test_folders_that_hold_no_such_model(tmp_path):
    with pytest.raises(IVGError, match=r"config\.json"):
        LocalModel(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "unheard_of"}')
    with pytest.raises(IVGError, match="cannot be loaded as a vision-language model"):
        LocalModel(tmp_path)("hold it", None)


# -- a server ----------------------------------------------------------------------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    """Speaks the protocol, or does what `server.trouble` says."""

    def do_POST(self):
        self.server.asked.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
        trouble = self.server.trouble
        if trouble == "hangs":
            self.server.stopped.wait(20)
        elif trouble == "drips":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            while not self.server.stopped.wait(0.05):
                self.wfile.write(b" ")
        elif trouble == "redirects":
            self.send_response(307)
            self.send_header("Location", "http://example.org/v1/chat/completions")
            self.end_headers()
        elif trouble == "breaks off":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"choices"')
        elif isinstance(trouble, int):
            self.send_response(trouble)
            self.end_headers()
            self.wfile.write(b'{"error": {"message": "model not found"}}')
        else:
            body = trouble if isinstance(trouble, bytes) else self.answer()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def answer(self):
        message = {"role": "assistant", "content": f"<think>hm</think>{POT}"}
        return json.dumps({"object": "chat.completion", "choices": [{"index": 0, "message": message}]}).encode()

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as it:
        it.asked, it.trouble, it.stopped = [], None, threading.Event()
        it.daemon_threads = True
        it.url = f"http://127.0.0.1:{it.server_port}/v1"
        thread = threading.Thread(target=it.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield it
        it.stopped.set()
        it.shutdown()
        thread.join()


def test_a_server_is_asked_with_the_photo(server):
    assert Server(server.url + "/", "llava")("hold pot", RED) == POT
    path, asked = server.asked[0]
    assert path == "/v1/chat/completions" and asked["model"] == "llava" and asked["stream"] is False
    system, user = asked["messages"]
    assert EXAMPLE in system["content"] and "hold pot" in user["content"][0]["text"]
    assert user["content"][1]["image_url"]["url"].startswith("data:image/jpeg;base64,")


def test_a_server_without_eyes_is_asked_in_plain_text(server):
    assert Server(server.url)("hold pot", None) == POT
    asked = server.asked[0][1]
    assert isinstance(asked["messages"][1]["content"], str) and "model" not in asked


def test_other_questions_are_answered_as_they_are(server, vlm):
    assert Server(server.url).ask("List them.", "Which pots?", None, 99) == f"<think>hm</think>{POT}"
    asked = server.asked[0][1]
    assert [message["content"] for message in asked["messages"]] == ["List them.", "Which pots?"]
    assert asked["max_tokens"] == 99
    for photo, tokens, said in ((RED, 96, "hold the red pot"), (BLUE, 96, "hold the big pan"), (RED, 1, "")):
        answer = LocalModel(vlm).ask(INSTRUCTION, ask_for("hold it"), photo, tokens)
        assert answer.lower().strip(" .") == said if said else len(answer) < 5
    assert LocalModel(vlm).ask("List them.", "hold it", RED, 96) != LocalModel(vlm)("hold it", RED)


@pytest.mark.parametrize("trouble", ["hangs", "drips"])
def test_the_time_out_holds(server, trouble):
    server.trouble = trouble
    began = time.monotonic()
    with pytest.raises(IVGError, match=r"no answer within 0\.4 seconds"):
        Server(server.url, timeout=0.4)("hold pot", None)
    assert time.monotonic() - began < 3


def test_waiting_can_be_cancelled(server):
    class Cancelled(Exception):
        pass

    def cancel():
        raise Cancelled

    server.trouble = "hangs"
    began = time.monotonic()
    with pytest.raises(Cancelled):
        Server(server.url, timeout=60, on_wait=cancel)("hold pot", None)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("trouble", "hint"),
    [
        (500, "HTTP 500"),
        (404, "model not found"),
        ("redirects", "HTTP 307"),
        ("breaks off", "Nobody answers"),
        (b"<html>hello</html>", "something else than a chat"),
        (b"", "something else than a chat"),
        (b"[]", "something else than a chat"),
        (b" " * (2 << 20), "something else than a chat"),
        (b'{"choices": []}', "something else than a chat"),
        (b'{"choices": [{"message": {"content": null}}]}', "no sentence"),
        (b'{"choices": [{"message": {"content": "%%%%"}}]}', "no sentence"),
    ],
)
def test_troubles_of_a_server_are_named(server, trouble, hint):
    server.trouble = trouble
    with pytest.raises(IVGError, match=hint):
        Server(server.url, "llava")("hold pot", RED)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("localhost:11434", "no address"),
        ("ftp://localhost/v1", "no address"),
        ("http://127.0.0.1:9/v1", "Nobody answers"),
        ("http://8.8.8.8/v1", "not on your machine"),
        ("http://169.254.169.254/latest", "not on your machine"),  # where clouds keep their keys
        ("http://[fe80::1]/v1", "not on your machine"),
        ("http://198.18.0.1/v1", "not on your machine"),
        ("http://[::ffff:8.8.8.8]/v1", "not on your machine"),
        ("http://0.0.0.0/v1", "not on your machine"),
        ("http://127.0.0.1:9/v1#", "no address"),
        ("http://127.0.0.1:9/admin?x=", "no address"),
        ("http://me@127.0.0.1:9/v1", "no address"),
        ("http://127.0.0.1:99999/v1", "no address"),
        ("http://127.0.0.1:9/v1\r\nX: y", "no address"),
        ("http://no-such-machine.invalid/v1", "no machine"),
    ],
)
def test_addresses(url, hint):
    with pytest.raises(IVGError, match=hint):
        Server(url, timeout=5)("hold pot", RED)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "192.168.1.7", "10.1.2.3", "172.20.0.1", "100.100.1.2", "fd00::1"]
)
def test_addresses_of_ones_own(address):
    assert is_own(address)


def test_a_name_is_looked_up_once(server, monkeypatch):
    """Else the second answer could lead elsewhere than the one that was checked."""
    asked = []

    def look_up(host, port, **_):
        asked.append(host)
        place = "127.0.0.1" if len(asked) == 1 else "8.8.8.8"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert Server(server.url.replace("127.0.0.1", "my-server"))("hold pot", None) == POT
    assert asked == ["my-server"]


def test_a_machine_with_two_addresses_is_found_at_either(server, monkeypatch):
    port = server.server_port
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", at)) for at in (9, port)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    assert Server(server.url)("hold pot", None) == POT


def test_nothing_of_an_answer_that_is_no_chat_is_shown(server):
    server.trouble = b"root:x:0:0 secret"
    with pytest.raises(IVGError) as caught:
        Server(server.url)("hold pot", None)
    assert "secret" not in str(caught.value)


# -- the cache ---------------------------------------------------------------------------------------------------------


def test_the_same_question_is_asked_once(server, tmp_path):
    asker = Server(server.url, "llava")
    for _ in range(3):
        assert enrich_action("hold  pot", RED, asker, tmp_path) == POT
    assert len(server.asked) == 1
    for action, photo, other in (
        ("hold pan", RED, asker),
        ("hold pot", BLUE, asker),
        ("hold pot", None, asker),
        ("hold pot", RED, Server(server.url, "qwen")),
    ):
        enrich_action(action, photo, other, tmp_path)
    assert len(server.asked) == 5


def test_a_failure_is_not_kept_and_a_damaged_entry_is_asked_again(server, tmp_path):
    server.trouble = 500
    with pytest.raises(IVGError):
        enrich_action("hold pot", RED, Server(server.url), tmp_path)
    assert not list(tmp_path.iterdir())
    server.trouble = None
    enrich_action("hold pot", RED, Server(server.url), tmp_path)
    (entry,) = tmp_path.iterdir()
    entry.write_text("{torn")
    assert enrich_action("hold pot", RED, Server(server.url), tmp_path) == POT
    assert json.loads(entry.read_text())["action"] == "hold pot"


# -- the command -------------------------------------------------------------------------------------------------------


def test_a_table_is_enriched_to_look_at_and_used_by_batch(server, tmp_path, monkeypatch, capsys):
    from ivg_core.batch.table import read_table

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Image.new("RGB", (32, 16), "red").save(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text("image,prompt,seed\na.png,julienne carrot,4\na.png,slice onion,5\n")
    out = tmp_path / "elsewhere" / "e.csv"
    assert main(["enrich", "--table", str(tmp_path / "t.csv"), "--out", str(out)]) == 0
    assert EXAMPLE in capsys.readouterr().out
    assert next((item.prompt, item.seed) for item in read_table(out)) == (EXAMPLE, 4)
    words = ["enrich", "--table", str(tmp_path / "t.csv"), "--out", str(out), "--server", server.url]
    assert main(words) == 0
    assert {item.prompt for item in read_table(out)} == {POT} and len(server.asked) == 2
    assert "image_url" in json.dumps(server.asked[0][1])


@pytest.mark.parametrize("words", [[], ["cut", "--table", "t.csv"], ["--table", "t.csv"]])
def test_command_mistakes_are_one_sentence(words, capsys):
    assert main(["enrich", *words]) == 2
    assert capsys.readouterr().err.startswith("error: ")
