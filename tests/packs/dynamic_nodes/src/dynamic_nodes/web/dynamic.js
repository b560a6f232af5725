// Stands for the scripts of a pack.
export const pack = "dynamic_nodes";
