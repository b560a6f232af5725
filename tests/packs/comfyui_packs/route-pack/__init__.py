"""Routes, a handler of posted prompts, messages, and a node that ends its process."""

import os
import threading

import folder_paths
from aiohttp import web
from server import PromptServer

routes = PromptServer.instance.routes
folder_paths.add_model_folder_path("route_pack_models", os.path.join(folder_paths.base_path, "elsewhere"))


@routes.get("/route_pack/hello/{name}")
async def hello(request):
    return web.json_response({"hello": request.match_info["name"], "query": dict(request.rel_url.query)})


@routes.post("/route_pack/reversed")
async def reverse(request):
    body = await request.read()
    return web.Response(body=body[::-1], status=201, headers={"X-Pack": "route-pack"})


@routes.get("/route_pack/fails")
async def fails(request):
    raise ValueError("a route that fails")


@routes.post("/route_pack/say")
async def say(request):
    threading.Thread(target=PromptServer.instance.send_sync, args=("route_pack.said", {"n": 1})).start()
    return web.json_response({})


def rename(posted):
    for node in posted["prompt"].values():
        if node["class_type"] == "OldName":
            node["class_type"] = "Answer"
    return posted


def broken_handler(posted):
    raise KeyError("a handler that fails")


PromptServer.instance.add_on_prompt_handler(broken_handler)
PromptServer.instance.add_on_prompt_handler(rename)


class Answer:
    FUNCTION = "run"
    OUTPUT_NODE = True
    RETURN_TYPES = ("STRING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"file": (sorted(os.listdir(folder_paths.get_input_directory())) or ["none"],)}}

    def run(self, file):
        PromptServer.instance.send_sync("route_pack.ran", {"file": file}, PromptServer.instance.client_id)
        return {"ui": {"file": [file]}, "result": (file,)}


class Crash:
    FUNCTION = "run"
    OUTPUT_NODE = True
    RETURN_TYPES = ()

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def run(self):
        os._exit(13)


NODE_CLASS_MAPPINGS = {"Answer": Answer, "Crash": Crash}
