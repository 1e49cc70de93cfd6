// A user's program under the strictest compiler options: it is compiled, and never run.
import type { RunnableConfig } from "@langchain/core/runnables";
import type { BaseCheckpointSaver, CheckpointTuple, SerializerProtocol } from "@langchain/langgraph-checkpoint";
import type { CheckpointStorage } from "@waymark/core";
import { WaymarkSaver, type WaymarkSaverOptions } from "@waymark/langgraph";

export async function program(storage: CheckpointStorage, serde: SerializerProtocol): Promise<CheckpointTuple[]> {
  const options: WaymarkSaverOptions = { serde };
  const saver: BaseCheckpointSaver = new WaymarkSaver(storage, options);
  const config: RunnableConfig = { configurable: { thread_id: "1" } };
  const tuple: CheckpointTuple | undefined = await new WaymarkSaver(storage).getTuple(config);
  if (tuple !== undefined) await saver.putWrites(tuple.config, [["channel", 1]], "task");
  // @ts-expect-error the storage is missing
  new WaymarkSaver();
  // @ts-expect-error an unknown option
  new WaymarkSaver(storage, { serializer: serde });
  const tuples: CheckpointTuple[] = [];
  for await (const found of saver.list(config, { limit: 1, before: config, filter: { source: "loop" } }))
    tuples.push(found);
  return tuples;
}
