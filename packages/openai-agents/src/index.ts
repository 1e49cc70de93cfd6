export {
  type LoadOptions,
  type RunStatesOptions,
  type SaveOptions,
  type StoredRunState,
  WaymarkRunStates,
} from "./run-states.ts";
export { WaymarkSession, type WaymarkSessionOptions } from "./session.ts";
