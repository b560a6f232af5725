export const pack = "class_pack";
