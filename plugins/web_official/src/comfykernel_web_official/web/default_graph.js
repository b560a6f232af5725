// Lets the graph that the page opens first run on this server: when its checkpoint is not installed, the first one
// that is takes its place. A new user sees that graph at once.
import { app } from "/scripts/app.js";
import { api } from "/scripts/api.js";

const LOADER = "CheckpointLoaderSimple";
const DONE = "Comfy.TutorialCompleted";
// The small checkpoint of comfykernel-demo-model knows coloured shapes, on pictures of this size in pixels.
const DEMO = "demo.safetensors";
const DEMO_SIZE = 256;
const DEMO_GUIDANCE = 4;
const DEMO_TEXT = "a red circle on the left, blue background";

async function installedCheckpoints() {
  const answer = await api.fetchApi(`/object_info/${LOADER}`);
  const info = await answer.json();
  const [choices, options] = info[LOADER]?.input?.required?.ckpt_name ?? [[]];
  return Array.isArray(choices) ? choices : options?.options ?? [];
}

app.registerExtension({
  name: "comfykernel.DefaultGraph",
  async init() {
    const graph = window.comfyAPI?.defaultGraph?.defaultGraph;
    const checkpoints = await installedCheckpoints();
    const loader = graph?.nodes?.find((node) => node.type === LOADER);
    if (!loader || checkpoints.length === 0) return;
    if (!checkpoints.includes(loader.widgets_values[0])) {
      loader.widgets_values = [checkpoints[0]];
      if (loader.properties) delete loader.properties.models;
      if (checkpoints[0] === DEMO) fitDemo(graph);
    }
    const settings = app.extensionManager?.setting;
    if (settings && !settings.get(DONE)) await settings.set(DONE, true);
  },
});

function fitDemo(graph) {
  const sampler = graph.nodes.find((node) => node.type === "KSampler");
  const positive = sampler?.inputs?.find((input) => input.name === "positive")?.link;
  for (const node of graph.nodes) {
    if (node.type === "EmptyLatentImage") node.widgets_values = [DEMO_SIZE, DEMO_SIZE, 1];
    if (node.type === "CLIPTextEncode") {
      const isPositive = node.outputs[0].links?.includes(positive);
      node.widgets_values = [isPositive ? DEMO_TEXT : ""];
    }
  }
  // Its values: seed, what happens to the seed, steps, guidance, and so on.
  if (sampler) sampler.widgets_values[3] = DEMO_GUIDANCE;
}
