export { WaymarkSaver, type WaymarkSaverOptions } from "./waymark-saver.ts";
