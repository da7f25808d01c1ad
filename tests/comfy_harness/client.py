"""Talk to a running ComfyUI: submit prompts, follow them, fetch the results."""

from __future__ import annotations

import dataclasses
import json
import struct
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

import websocket

#: First four bytes of a binary web-socket message (big endian).
_PREVIEW_IMAGE, _TEXT, _PREVIEW_WITH_METADATA = 1, 3, 4


@dataclasses.dataclass
class RunResult:
    """What became of one prompt.

    Attributes:
        status: "success", "error", "interrupted", "rejected" or "timeout".
        outputs: node id -> what the node sent to the interface.
        errors: one readable line per thing that went wrong.
        executed: node ids in the order in which they ran.
        cached: node ids whose earlier result was used.
        progress: node id -> list of (value, max).
        previews: node id -> number of preview images received while it ran.
        notes: node id -> the text that stands on it.
        messages: every JSON message, in order.
    """

    prompt_id: str | None = None
    status: str = "timeout"
    outputs: dict = dataclasses.field(default_factory=dict)
    errors: list = dataclasses.field(default_factory=list)
    executed: list = dataclasses.field(default_factory=list)
    cached: list = dataclasses.field(default_factory=list)
    progress: dict = dataclasses.field(default_factory=dict)
    previews: dict = dataclasses.field(default_factory=dict)
    notes: dict = dataclasses.field(default_factory=dict)
    messages: list = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return self.status == "success"

    def files(self) -> list[dict]:
        """Every file the nodes reported: dicts with filename, subfolder, type, node."""
        found = []
        for node, output in self.outputs.items():
            for value in output.values():
                for item in value if isinstance(value, (list, tuple)) else []:
                    if isinstance(item, dict) and "filename" in item:
                        found.append({**item, "node": node})
        return found


class ComfyClient:
    """A client of ComfyUI's HTTP and web-socket interface."""

    def __init__(self, url: str):
        self.url = url.rstrip("/")
        self.client_id = uuid.uuid4().hex

    # -- plain requests -----------------------------------------------------

    def get(self, path: str):
        """GET a JSON document."""
        with urllib.request.urlopen(self.url + path, timeout=60) as reply:
            return json.load(reply)

    def get_bytes(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=60) as reply:
            return reply.read()

    def post(self, path: str, body: dict):
        """POST a JSON document; returns (status, answer)."""
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                data = reply.read()
                return reply.status, json.loads(data) if data else None
        except urllib.error.HTTPError as error:
            data = error.read()
            try:
                return error.code, json.loads(data)
            except json.JSONDecodeError:
                return error.code, {"error": data.decode(errors="replace")}

    def node_info(self) -> dict:
        """Every node class the server knows, as `/object_info` gives it."""
        return self.get("/object_info")

    def pack_nodes(self, pack: str) -> dict:
        """The node classes that came from one custom-node folder."""
        module = f"custom_nodes.{pack}"
        return {k: v for k, v in self.node_info().items() if v.get("python_module") == module}

    def interrupt(self) -> None:
        """Ask the server to stop the running prompt."""
        self.post("/interrupt", {})

    def view(self, file: dict) -> bytes:
        """The content of one file of :meth:`RunResult.files`."""
        query = urllib.parse.urlencode({k: file.get(k, "") for k in ("filename", "subfolder", "type")})
        return self.get_bytes(f"/view?{query}")

    def last_outputs(self) -> dict:
        """Node id -> what it sent to the interface, for the prompt that ended last."""
        return list(self.get("/history").values())[-1]["outputs"]

    # -- prompts ------------------------------------------------------------

    def run(
        self, prompt: dict, *, timeout: float = 600.0, extra_data: dict | None = None, on_message=None
    ) -> RunResult:
        """Submit an API-format prompt and follow it to its end.

        `on_message(result, message)` is called for every message; it may
        call :meth:`interrupt`.
        """
        result = RunResult()
        started = time.monotonic()
        socket_url = f"ws{self.url[4:]}/ws?clientId={self.client_id}"
        socket = websocket.create_connection(socket_url, timeout=10)
        try:
            # Ask for previews that name their node.
            socket.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
            body = {"prompt": prompt, "client_id": self.client_id}
            if extra_data:
                body["extra_data"] = extra_data
            status, answer = self.post("/prompt", body)
            if status != 200:
                result.status = "rejected"
                result.errors = _rejection_lines(answer)
                return result
            result.prompt_id = answer["prompt_id"]
            self._follow(socket, result, started + timeout, on_message)
        finally:
            socket.close()
            result.seconds = round(time.monotonic() - started, 3)
        if result.status == "timeout":
            self.interrupt()
            result.errors.append(f"no end within {timeout:g} s; interrupted")
        history = self.get(f"/history/{result.prompt_id}").get(result.prompt_id, {})
        result.outputs = history.get("outputs", result.outputs)
        return result

    def _follow(self, socket, result: RunResult, deadline: float, on_message) -> None:
        running = None
        while time.monotonic() < deadline:
            socket.settimeout(max(0.1, min(5.0, deadline - time.monotonic())))
            try:
                raw = socket.recv()
            except websocket.WebSocketTimeoutException:
                continue
            if isinstance(raw, bytes) and struct.unpack(">I", raw[:4])[0] == _TEXT:
                end = 8 + struct.unpack(">I", raw[4:8])[0]
                result.notes[raw[8:end].decode()] = raw[end:].decode()
                continue
            if isinstance(raw, bytes):
                node = _preview_node(raw) or running
                if node is not None:
                    result.previews[node] = result.previews.get(node, 0) + 1
                continue
            message = json.loads(raw)
            kind, data = message.get("type"), message.get("data") or {}
            result.messages.append(message)
            if data.get("prompt_id") in (None, result.prompt_id):
                if kind == "executing" and data.get("node") is not None:
                    running = data["node"]
                    result.executed.append(running)
                elif kind == "execution_cached":
                    result.cached = list(data.get("nodes", []))
                elif kind == "progress":
                    result.progress.setdefault(data.get("node"), []).append((data["value"], data["max"]))
                elif kind == "executed":
                    result.outputs[data["node"]] = data.get("output") or {}
                elif kind == "execution_error":
                    result.status = "error"
                    result.errors.append(
                        f"node {data.get('node_id')} ({data.get('node_type')}): "
                        f"{data.get('exception_type')}: {str(data.get('exception_message')).strip()}"
                    )
                elif kind == "execution_interrupted":
                    result.status = "interrupted"
                elif kind == "execution_success":
                    result.status = "success"
            if on_message:
                on_message(result, message)
            ended = kind in ("execution_success", "execution_error", "execution_interrupted")
            if ended and data.get("prompt_id") == result.prompt_id:
                return


def _preview_node(raw: bytes) -> str | None:
    """The node id inside a binary preview, where the message carries one."""
    kind = struct.unpack(">I", raw[:4])[0]
    if kind != _PREVIEW_WITH_METADATA:
        return None
    length = struct.unpack(">I", raw[4:8])[0]
    return json.loads(raw[8 : 8 + length]).get("node_id")


def _rejection_lines(answer: dict) -> list[str]:
    lines = []
    error = answer.get("error")
    if isinstance(error, dict):
        lines.append(": ".join(x for x in (error.get("message"), error.get("details")) if x))
    elif error:
        lines.append(str(error))
    node_errors = answer.get("node_errors") or {}
    for node, info in node_errors.items() if isinstance(node_errors, dict) else []:
        for one in info.get("errors", []):
            lines.append(f"node {node} ({info.get('class_type')}): {one.get('message')}: {one.get('details')}")
    return lines
