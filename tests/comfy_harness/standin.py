"""The real web interface over a stand-in server, for machines without ComfyUI.

The interface is on PyPI (`comfyui-frontend-package`); ComfyUI itself is not.
This server gives the interface what it asks for at start: node definitions
made from the pack's own node classes (and a few written by hand for the core
nodes that the pack's workflows use), the pack's scripts, locales and
templates.  So a browser test can load the pack's workflows, see that no node
or widget is missing, and use its widgets.

Nothing is computed: a submitted prompt is kept in `prompts` and answered
with canned outputs, given per node class; every picture is a grey one.

`StandInServer` runs in a thread; it needs aiohttp and the interface package.
"""

from __future__ import annotations

import asyncio
import importlib.util
import io
import json
import pathlib
import threading
import uuid

from aiohttp import WSMsgType, web
from PIL import Image

from .server import DEFAULT_SETTINGS, free_port

#: Folder names whose *.json the interface lists as templates.
TEMPLATE_FOLDERS = ("example_workflows", "example", "examples", "workflow", "workflows")


def installed_frontend() -> pathlib.Path:
    """The folder of the interface that is installed in this environment."""
    spec = importlib.util.find_spec("comfyui_frontend_package")
    if spec is None:
        raise FileNotFoundError("install comfyui-frontend-package, or give its static folder")
    return pathlib.Path(spec.origin).parent / "static"


def definition(node_class, python_module: str) -> dict:
    """`/object_info` for one V3 node class, as ComfyUI would give it."""
    schema = node_class.GET_SCHEMA()
    inputs: dict = {"required": {}, "optional": {}}
    for item in schema.inputs:
        given = {k: v for k, v in item.options.items() if v is not None and k not in ("optional", "extra_dict")}
        options = {_camel(k): _plain(v) for k, v in given.items()} | (item.options.get("extra_dict") or {})
        if item.io_type == "COMBO" and "upload" in options:
            options[options.pop("upload")] = True
        inputs["optional" if item.optional else "required"][item.id] = [item.io_type, options]
    if schema.hidden or schema.is_output_node:
        names = [h.value for h in schema.hidden]
        inputs["hidden"] = {name.lower(): [name] for name in names}
    inputs = {k: v for k, v in inputs.items() if v}
    return {
        "input": inputs,
        "input_order": {k: list(v) for k, v in inputs.items()},
        "is_input_list": schema.is_input_list,
        "output": [o.io_type for o in schema.outputs],
        "output_is_list": [o.is_output_list for o in schema.outputs],
        "output_name": [o.display_name or o.io_type for o in schema.outputs],
        "output_tooltips": [o.tooltip for o in schema.outputs],
        "name": schema.node_id,
        "display_name": schema.display_name or schema.node_id,
        "description": schema.description,
        "python_module": python_module,
        "category": schema.category,
        "output_node": schema.is_output_node,
        "deprecated": schema.is_deprecated,
        "experimental": schema.is_experimental,
        "api_node": False,
        "search_aliases": schema.search_aliases,
    }


def core_node(name, inputs=None, outputs=(), *, output_node=False, optional=None) -> dict:
    """A hand-written definition of a core node, for :class:`StandInServer`."""
    spec = {"required": inputs or {}, "optional": optional or {}}
    spec = {k: v for k, v in spec.items() if v}
    return {
        "input": spec, "input_order": {k: list(v) for k, v in spec.items()}, "is_input_list": False,
        "output": list(outputs), "output_is_list": [False] * len(outputs), "output_name": list(outputs),
        "name": name, "display_name": name, "description": "", "python_module": "nodes", "category": "core",
        "output_node": output_node, "deprecated": False, "experimental": False, "api_node": False,
    }  # fmt: skip


class StandInServer:
    """Serves the interface and one pack; use as a context manager.

    Args:
        pack: the pack's folder.
        nodes: its V3 node classes (imported over the stubs).
        core: definitions of further nodes, by :func:`core_node`.
        outputs: node class name -> what such a node "shows" when run.
        frontend: folder of the interface; the installed one if None.
        settings: settings of the interface.
    """

    def __init__(self, pack, nodes, *, core=(), outputs=None, frontend=None, settings=None):
        self.pack = pathlib.Path(pack).resolve()
        self.frontend = pathlib.Path(frontend) if frontend else installed_frontend()
        module = f"custom_nodes.{self.pack.name}"
        self.definitions = {d["name"]: d for d in core}
        self.definitions.update({(d := definition(n, module))["name"]: d for n in nodes})
        self.outputs = outputs or {}
        self.settings = {**DEFAULT_SETTINGS, **(settings or {})}
        self.prompts: list[dict] = []
        self.targets: list[list[str] | None] = []  # of each prompt: the nodes that alone are asked for
        self.uploads: list[str] = []
        self.port = free_port()
        self._sockets: set = set()
        self._ready = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> StandInServer:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        if not self._ready.wait(20):
            raise RuntimeError("the stand-in server did not start")
        return self

    def __exit__(self, *exc) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = web.AppRunner(self._application())
        self._loop.run_until_complete(runner.setup())
        self._loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", self.port).start())
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=64 << 20)
        system = {"os": "linux", "comfyui_version": "0.0.0", "python_version": "3", "pytorch_version": "0", "argv": []}
        system |= {"embedded_python": False, "ram_total": 1, "ram_free": 1}
        no_jobs = {"jobs": [], "pagination": {"offset": 0, "limit": 200, "total": 0, "has_more": False}}
        fixed = {
            "/features": {"supports_preview_metadata": True, "max_upload_size": 64 << 20},
            "/users": {"storage": "server", "migrated": True},
            "/system_stats": {"system": system, "devices": []},
            "/i18n": self._locales(),
            "/extensions": self._scripts(),
            "/object_info": self.definitions,
            "/workflow_templates": self._templates(),
            "/node_replacements": {},
            "/global_subgraphs": {},
            "/embeddings": [],
            "/experiment/models": [],
            "/queue": {"queue_running": [], "queue_pending": []},
            "/history": {},
            "/jobs": no_jobs,
        }
        for prefix in ("", "/api"):
            for path, answer in fixed.items():
                app.router.add_get(prefix + path, _always(answer))
            app.router.add_get(prefix + "/settings", self._get_settings)
            app.router.add_post(prefix + "/settings", self._set_settings)
            app.router.add_post(prefix + "/settings/{name}", self._set_setting)
            app.router.add_get(prefix + "/ws", self._socket)
            app.router.add_post(prefix + "/prompt", self._prompt)
            app.router.add_post(prefix + "/upload/{kind}", self._upload)
            app.router.add_get(prefix + "/view", _picture)
            app.router.add_route("*", prefix + "/userdata{rest:.*}", _missing)
        for folder in TEMPLATE_FOLDERS:
            if (self.pack / folder).is_dir():
                app.router.add_static(f"/api/workflow_templates/{self.pack.name}", self.pack / folder)
                break
        app.router.add_get("/internal/folder_paths", _always({}))
        web_folder = self.pack / "web"
        if web_folder.is_dir():
            app.router.add_static(f"/extensions/{self.pack.name}", web_folder)
        app.router.add_get("/", self._index)
        app.router.add_static("/", self.frontend)
        return app

    def _scripts(self) -> list[str]:
        own = [f"/extensions/{self.pack.name}/{p.relative_to(self.pack / 'web').as_posix()}"
               for p in sorted((self.pack / "web").glob("**/*.js"))]  # fmt: skip
        core = [f"/extensions/{p.relative_to(self.frontend / 'extensions').as_posix()}"
                for p in sorted((self.frontend / "extensions").glob("**/*.js"))]  # fmt: skip
        return core + own

    def _templates(self) -> dict:
        names = [p.stem for folder in TEMPLATE_FOLDERS for p in sorted((self.pack / folder).glob("*.json"))]
        return {self.pack.name: names} if names else {}

    def _locales(self) -> dict:
        found: dict = {}
        for path in self.pack.glob("locales/*/*.json"):
            data = json.loads(path.read_text("utf-8"))
            found.setdefault(path.parent.name, {}).update(data if path.stem == "main" else {path.stem: data})
        return found

    async def _index(self, request):
        return web.FileResponse(self.frontend / "index.html")

    async def _get_settings(self, request):
        return web.json_response(self.settings)

    async def _set_settings(self, request):
        self.settings.update(await request.json())
        return web.Response()

    async def _set_setting(self, request):
        self.settings[request.match_info["name"]] = await request.json()
        return web.Response()

    async def _socket(self, request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.add(socket)
        sid = request.query.get("clientId") or uuid.uuid4().hex
        await socket.send_json(
            {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}, "sid": sid}}
        )
        async for message in socket:
            if message.type == WSMsgType.ERROR:
                break
        self._sockets.discard(socket)
        return socket

    async def _upload(self, request):
        form = await request.post()
        name = getattr(form.get("image"), "filename", "upload.png")
        self.uploads.append(name)
        return web.json_response(
            {"name": name, "subfolder": form.get("subfolder", ""), "type": form.get("type", "input")}
        )

    async def _prompt(self, request):
        body = await request.json()
        unknown = [n for n in body["prompt"].values() if n.get("class_type") not in self.definitions]
        if unknown:
            text = f"unknown node {unknown[0].get('class_type')}"
            error = {"type": "invalid_prompt", "message": text, "details": "", "extra_info": {}}
            return web.json_response({"error": error, "node_errors": {}}, status=400)
        prompt_id = uuid.uuid4().hex
        self.prompts.append(body["prompt"])
        self.targets.append(body.get("partial_execution_targets"))
        self._playing = asyncio.ensure_future(self._play(prompt_id, body["prompt"]))
        return web.json_response({"prompt_id": prompt_id, "number": len(self.prompts), "node_errors": {}})

    async def _play(self, prompt_id: str, prompt: dict) -> None:
        await self._send("execution_start", prompt_id=prompt_id, timestamp=0)
        for node, item in prompt.items():
            await self._send("executing", prompt_id=prompt_id, node=node, display_node=node)
            shown = self.outputs.get(item["class_type"])
            if shown is not None:
                await self._send("executed", prompt_id=prompt_id, node=node, display_node=node, output=shown)
            await asyncio.sleep(0.02)
        await self._send("executing", prompt_id=prompt_id, node=None)
        await self._send("execution_success", prompt_id=prompt_id, timestamp=0)

    async def _send(self, kind: str, **data) -> None:
        for socket in list(self._sockets):
            await socket.send_json({"type": kind, "data": data})


def _always(answer):
    async def handler(request):
        return web.json_response(answer)

    return handler


async def _picture(request):
    """The same grey picture, whichever is asked for."""
    data = io.BytesIO()
    Image.new("RGBA", (192, 128), (128, 128, 128, 255)).save(data, "PNG")
    return web.Response(body=data.getvalue(), content_type="image/png")


async def _missing(request):
    return web.Response(status=404)


def _camel(name: str) -> str:
    """Names that the interface spells differently from Python."""
    return {"force_input": "forceInput", "dynamic_prompts": "dynamicPrompts", "display_mode": "display"}.get(name, name)


def _plain(value):
    return getattr(value, "value", value)
