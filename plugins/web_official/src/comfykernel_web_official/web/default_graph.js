// Lets the graph that the page opens first run on this server: when a model of the page's own default graph is not
// installed, a small graph with a checkpoint that is installed takes its place, and a new user sees it at once.
import { app } from "/scripts/app.js";
import { api } from "/scripts/api.js";

const LOADER = "CheckpointLoaderSimple";
const INTRODUCED = "Comfy.TutorialCompleted";

// The checkpoint of comfykernel-demo-model draws coloured shapes; sizes are in pixels.
const DEMO = { checkpoint: "demo.safetensors", text: "a red circle on the left, blue background", size: 256, guidance: 3 };
const OTHER = { text: "a lighthouse on a cliff in the evening, oil painting", size: 512, guidance: 7 };

app.registerExtension({
  name: "comfykernel.DefaultGraph",
  async init() {
    const graph = window.comfyAPI?.defaultGraph?.defaultGraph;
    if (!graph?.nodes) return;
    const checkpoints = await choices(LOADER, "ckpt_name");
    if (checkpoints.length > 0 && !(await allModelsThere(graph))) {
      const about = checkpoints.includes(DEMO.checkpoint) ? DEMO : { ...OTHER, checkpoint: checkpoints[0] };
      // In place: the page keeps this very object.
      for (const key of Object.keys(graph)) delete graph[key];
      Object.assign(graph, textToImage(about));
    }
    const settings = app.extensionManager?.setting;
    if (settings && !settings.get(INTRODUCED)) await settings.set(INTRODUCED, true);
  },
});

async function nodeInfo(type) {
  const answer = await api.fetchApi(`/object_info/${encodeURIComponent(type)}`);
  return (await answer.json())[type];
}

async function choices(type, input) {
  const [values, options] = (await nodeInfo(type))?.input?.required?.[input] ?? [[]];
  return Array.isArray(values) ? values : (options?.options ?? []);
}

async function allModelsThere(graph) {
  for (const node of graph.nodes.filter((each) => each.type.includes("Loader"))) {
    const input = (await nodeInfo(node.type))?.input_order?.required?.[0];
    if (!input || !(await choices(node.type, input)).includes(node.widgets_values?.[0])) return false;
  }
  return true;
}

function textToImage({ checkpoint, text, size, guidance }) {
  const graph = { last_node_id: 0, last_link_id: 0, nodes: [], links: [], groups: [], config: {}, extra: {}, version: 0.4 };
  const add = (type, pos, box, outputs, widgets_values, title) => {
    const id = ++graph.last_node_id;
    const slots = outputs.map((output) => ({ name: output, type: output, links: [] }));
    const node = {
      id, type, pos, size: box, flags: {}, order: id - 1, mode: 0, inputs: [], outputs: slots,
      properties: { "Node name for S&R": type }, widgets_values,
    };
    if (title) node.title = title;
    graph.nodes.push(node);
    return node;
  };
  const connect = (from, slot, to, input) => {
    const link = ++graph.last_link_id;
    const { type } = from.outputs[slot];
    from.outputs[slot].links.push(link);
    to.inputs.push({ name: input, type, link });
    graph.links.push([link, from.id, slot, to.id, to.inputs.length - 1, type]);
  };
  const model = add(LOADER, [40, 260], [300, 100], ["MODEL", "CLIP", "VAE"], [checkpoint]);
  const wanted = add("CLIPTextEncode", [400, 140], [360, 150], ["CONDITIONING"], [text], "What the picture shows");
  const unwanted = add("CLIPTextEncode", [400, 350], [360, 110], ["CONDITIONING"], [""], "What it does not show");
  const latent = add("EmptyLatentImage", [400, 520], [360, 110], ["LATENT"], [size, size, 1]);
  const values = [7, "randomize", 20, guidance, "euler", "normal", 1];
  const sampler = add("KSampler", [820, 140], [300, 270], ["LATENT"], values);
  const decode = add("VAEDecode", [820, 470], [300, 50], ["IMAGE"], []);
  const save = add("SaveImage", [1180, 140], [340, 380], [], ["ComfyUI"]);
  connect(model, 1, wanted, "clip");
  connect(model, 1, unwanted, "clip");
  connect(model, 0, sampler, "model");
  connect(wanted, 0, sampler, "positive");
  connect(unwanted, 0, sampler, "negative");
  connect(latent, 0, sampler, "latent_image");
  connect(sampler, 0, decode, "samples");
  connect(model, 2, decode, "vae");
  connect(decode, 0, save, "images");
  return graph;
}
