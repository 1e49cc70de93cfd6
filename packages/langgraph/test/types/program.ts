// A user's program under the strictest compiler options: it is compiled, and never run.
import type { Embeddings } from "@langchain/core/embeddings";
import type { RunnableConfig } from "@langchain/core/runnables";
import type {
  BaseCheckpointSaver,
  BaseStore,
  CheckpointTuple,
  GetOperation,
  Item,
  SearchOperation,
  SerializerProtocol,
} from "@langchain/langgraph-checkpoint";
import type { CheckpointStorage } from "@waymark/core";
import type { MemoryStorage } from "@waymark/core/memory";
import {
  copyThreads,
  type StoreIndexConfig,
  WaymarkSaver,
  type WaymarkSaverOptions,
  WaymarkStore,
} from "@waymark/langgraph";

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

export async function remember(memory: MemoryStorage, embeddings: Embeddings): Promise<Item | null> {
  const index: StoreIndexConfig = { dims: 1_536, embeddings, fields: ["text"] };
  const store: BaseStore = new WaymarkStore({ memory, index, ttl: { defaultTtl: 60 }, owner: undefined });
  await store.put(["users", "1"], "tea", { text: "likes tea" }, ["text"]);
  await new WaymarkStore({ memory, index: false }).put(["a"], "k", {}, false, { ttl: 1 });
  const results = await store.batch<[SearchOperation, GetOperation]>([
    { namespacePrefix: [], filter: { n: { $gt: 1 } } },
    { namespace: ["a"], key: "k" },
  ]);
  for (const { score = 0 } of results[0]) score.toFixed();
  // @ts-expect-error the memory is missing
  new WaymarkStore({});
  // @ts-expect-error an unknown option
  new WaymarkStore({ memory, schema: "public" });
  return results[1];
}
