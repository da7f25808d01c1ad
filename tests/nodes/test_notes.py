"""What the library warns of is shown on the node that ran."""

import logging
import pickle
import threading

import pytest
from comfy_api.latest import io
from comfy_execution.utils import CurrentNodeContext
from server import PromptServer

from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.ivg_core.models.domain import UNFAMILIAR
from ivg_pack.nodes import NODES, _notes
from ivg_pack.nodes._notes import NOTHING, noted, say

log = logging.getLogger("ivg")


class Bare:
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="Bare")


class Node(Bare):
    @classmethod
    @noted
    def execute(cls, *warnings, fail=False):
        say("It ran.") if not warnings else None
        for warning in warnings:
            log.warning("The %s is stretched.", warning)
        if fail:
            raise ValueError("stop")
        return warnings


class Quiet(Bare):
    @classmethod
    @noted
    def execute(cls, warning=""):
        if warning:
            log.warning(warning)


@pytest.fixture
def shown(monkeypatch):
    """What is shown on nodes, as (node id, text)."""
    server = PromptServer()
    monkeypatch.setattr(PromptServer, "instance", server)
    _notes._shown.clear()
    return server.shown


def test_warnings_of_the_run_are_shown_each_once(shown):
    with CurrentNodeContext("prompt", "7"):
        assert Node.execute("mask", "photo", "mask") == ("mask", "photo", "mask")
    assert shown == [("7", "The mask is stretched.\nThe photo is stretched.")]


def test_what_a_node_says_is_shown(shown):
    with CurrentNodeContext("prompt", "7:2"):
        Node.execute()
    assert shown == [("7:2", "It ran.")]


def test_warnings_are_shown_when_the_node_fails(shown):
    with CurrentNodeContext("prompt", "7"), pytest.raises(ValueError):
        Node.execute("mask", fail=True)
    assert shown == [("7", "The mask is stretched.")]
    assert not [handler for handler in log.handlers if isinstance(handler, _notes._Listener)]


def test_an_error_is_told_without_the_path_of_its_module(shown):
    class Refusing(Bare):
        @classmethod
        @noted
        def execute(cls):
            raise IVGError("The photo is grey: take another.")

    with CurrentNodeContext("prompt", "7"), pytest.raises(IVGError) as caught:
        Refusing.execute()
    kind = type(caught.value)
    assert (kind.__module__, kind.__qualname__) == ("builtins", "IVGError")  # what ComfyUI's full_type_name looks at
    assert str(caught.value) == "The photo is grey: take another."
    assert caught.traceback[-1].name == "execute", "the traceback still ends where it went wrong"
    assert shown == [("7", "The photo is grey: take another.")]


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_every_node_tells_its_errors_so(node):
    assert node.execute.__wrapped__.__code__.co_name == "execute"


def test_an_error_travels_between_processes():
    error = pickle.loads(pickle.dumps(IVGError("The clip is gone.")))
    assert type(error) is IVGError and str(error) == "The clip is gone."


def test_an_old_note_goes_when_there_is_none_any_more(shown):
    with CurrentNodeContext("prompt", "7"):
        Quiet.execute()
        Quiet.execute("The text is cut.")
        Quiet.execute()
    assert shown == [("7", "The text is cut."), ("7", NOTHING)]


def test_another_thread_s_warnings_are_its_own(shown):
    def warn():
        log.warning("Elsewhere.")

    class Both(Bare):
        @classmethod
        @noted
        def execute(cls):
            thread = threading.Thread(target=warn)
            thread.start()
            thread.join()
            log.warning("Here.")

    with CurrentNodeContext("prompt", "7"):
        Both.execute()
    assert shown == [("7", "Here.")]


def test_outside_of_a_run_nothing_is_shown(shown):
    Node.execute("mask")
    say("to nobody")
    assert shown == []


def test_a_picture_that_the_model_does_not_know_comes_with_advice(shown, caplog):
    class Sampler(Bare):
        @classmethod
        @noted
        def execute(cls):
            log.warning("The mask is stretched.")
            log.warning("The model knows drawings only.", extra={UNFAMILIAR: True})

    with CurrentNodeContext("prompt", "7"):
        Sampler.execute()
    assert shown == [("7", f"The model knows drawings only.\n{_notes.REAL_PHOTO}\nThe mask is stretched.")]
    assert "ivg_01_real_photo" in _notes.REAL_PHOTO and "ivg_01_real_photo" not in caplog.text


def test_the_sentence_with_which_a_node_stops_stands_on_it(shown):
    class Stops(Bare):
        @classmethod
        @noted
        def execute(cls):
            log.warning("The mask is stretched.")
            raise IVGError("There is no hand.")

    with CurrentNodeContext("prompt", "7"), pytest.raises(IVGError):
        Stops.execute()
    assert shown == [("7", "The mask is stretched.\nThere is no hand.")]
