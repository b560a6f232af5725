// Older pages take it for granted that a server has certain nodes that load models: where one is missing they can't
// build any loader at all (seen with 1.27.10, not with 1.58.1). Here the page is told of those that this server lacks,
// out of the way in its library; a graph that uses one is refused with the name of the missing node.
import { app } from "/scripts/app.js";

const MINOR_VERSION_WITHOUT_THE_FAULT = 58;

// Node, and the input that names the file.
const EXPECTED = {
  CheckpointLoaderSimple: "ckpt_name",
  ImageOnlyCheckpointLoader: "ckpt_name",
  LoraLoader: "lora_name",
  LoraLoaderModelOnly: "lora_name",
  VAELoader: "vae_name",
  ControlNetLoader: "control_net_name",
  UNETLoader: "unet_name",
  UpscaleModelLoader: "model_name",
  StyleModelLoader: "style_model_name",
  GLIGENLoader: "gligen_name",
};

app.registerExtension({
  name: "comfykernel.AbsentLoaders",
  addCustomNodeDefs(definitions) {
    const [major, minor] = String(window.__COMFYUI_FRONTEND_VERSION__ ?? "").split(".").map(Number);
    if (major !== 1 || minor >= MINOR_VERSION_WITHOUT_THE_FAULT) return;
    for (const [name, input] of Object.entries(EXPECTED)) definitions[name] ??= absent(name, input);
  },
});

function absent(name, input) {
  return {
    name,
    display_name: name,
    description: "This server has no such node.",
    category: "not on this server",
    python_module: "comfykernel",
    deprecated: true,
    output_node: false,
    input: { required: { [input]: [[], {}] } },
    input_order: { required: [input] },
    output: [],
    output_name: [],
    output_is_list: [],
  };
}
