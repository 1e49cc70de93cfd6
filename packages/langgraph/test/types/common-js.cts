// The same from CommonJS, with the types of LangGraph's CommonJS build.
import type { BaseCheckpointSaver } from "@langchain/langgraph-checkpoint";
import type { CheckpointStorage } from "@waymark/core";
import { WaymarkSaver } from "@waymark/langgraph";

export function program(storage: CheckpointStorage): BaseCheckpointSaver {
  return new WaymarkSaver(storage);
}
