// Takes up new and changed nodes when the server says that it has loaded packs anew.
import { app } from "/scripts/app.js";
import { api } from "/scripts/api.js";

app.registerExtension({
  name: "comfykernel.Reload",
  setup() {
    api.addEventListener("comfykernel_reloaded", () => app.refreshComboInNodes());
  },
});
