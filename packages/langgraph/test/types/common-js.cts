// The same from CommonJS, with the types of LangGraph's CommonJS build.
import type { BaseCheckpointSaver, BaseStore } from "@langchain/langgraph-checkpoint";
import type { CheckpointStorage } from "@waymark/core";
import type { MemoryStorage } from "@waymark/core/memory";
import { WaymarkSaver, WaymarkStore } from "@waymark/langgraph";

export function program(storage: CheckpointStorage): BaseCheckpointSaver {
  return new WaymarkSaver(storage);
}

export function store(memory: MemoryStorage): BaseStore {
  return new WaymarkStore({ memory });
}
