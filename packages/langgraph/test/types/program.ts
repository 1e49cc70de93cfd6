// A user's program under the strictest compiler options: it is compiled, and never run.
import type { RunnableConfig } from "@langchain/core/runnables";
import type { BaseCheckpointSaver, CheckpointTuple, SerializerProtocol } from "@langchain/langgraph-checkpoint";
import type { CheckpointStorage } from "@waymark/core";
import { copyThreads, WaymarkSaver, type WaymarkSaverOptions } from "@waymark/langgraph";

export async function program(storage: CheckpointStorage, serde: SerializerProtocol): Promise<CheckpointTuple[]> {
  const options: WaymarkSaverOptions = { serde };
  const saver: BaseCheckpointSaver = new WaymarkSaver(storage, options);
  const config: RunnableConfig = { configurable: { thread_id: "1" } };
  const tuple: CheckpointTuple | undefined = await new WaymarkSaver(storage).getTuple(config);
  if (tuple !== undefined) await saver.putWrites(tuple.config, [["channel", 1]], "task");
  const maybe: { signal?: AbortSignal; verify?: boolean } = {};
  const { signal, verify } = maybe;
  await copyThreads(saver, new WaymarkSaver(storage), {
    signal,
    verify,
    concurrency: undefined,
    onProgress: undefined,
  });
  // @ts-expect-error undefined ids would be all
  await copyThreads(saver, new WaymarkSaver(storage), { threadIds: undefined });
  // @ts-expect-error the storage is missing
  new WaymarkSaver();
  // @ts-expect-error an unknown option
  new WaymarkSaver(storage, { serializer: serde });
  const tuples: CheckpointTuple[] = [];
  for await (const found of saver.list(config, { limit: 1, before: config, filter: { source: "loop" } }))
    tuples.push(found);
  return tuples;
}
