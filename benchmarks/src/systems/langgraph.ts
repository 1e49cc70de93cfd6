import { randomUUID } from "node:crypto";
import type {
  BaseCheckpointSaver,
  Checkpoint,
  CheckpointMetadata,
  DeltaSnapshot,
} from "@langchain/langgraph-checkpoint";
import type { Place } from "../databases.ts";
import { openSqliteHandle } from "./raw.ts";
import { present, type Session, type Step, type System } from "./system.ts";

/** LangGraph's own savers, called as its loop calls them after each step; each member of the state is a channel. */
export const langgraph: System = {
  id: "langgraph",
  title: "LangGraph saver, put",
  states: "live",
  open: async (place, fresh) => await openSession(place, fresh, false),
};

/** The same with `messages` in a DeltaChannel (beta): the step's writes are stored, and a snapshot every 100 updates. */
export const langgraphDelta: System = {
  id: "langgraph-delta",
  title: "LangGraph delta channel (beta; is handed the change)",
  states: "live",
  isHandedTheChange: true,
  open: async (place, fresh) => await openSession(place, fresh, true),
};

/** DeltaChannel's default. */
const SNAPSHOT_FREQUENCY = 100;

/** The facts of a thread that LangGraph's loop keeps between its steps. */
interface Thread {
  checkpointId: string | undefined;
  readonly versions: Record<string, number>;
  updatesSinceSnapshot: number;
}

async function openSession(place: Place, fresh: boolean, delta: boolean): Promise<Session> {
  const { DeltaSnapshot, isDeltaSnapshot, uuid6 } = await import("@langchain/langgraph-checkpoint");
  const { saver, close } = await openSaver(place, fresh);
  const threads = new Map<string, Thread>();

  const put = async (
    agentId: string,
    thread: Thread,
    step: number,
    values: Checkpoint["channel_values"],
    changed: readonly string[],
  ) => {
    for (const channel of changed) thread.versions[channel] = (thread.versions[channel] ?? 0) + 1;
    const checkpoint: Checkpoint = {
      v: 4,
      id: uuid6(step),
      ts: new Date().toISOString(),
      channel_values: values,
      channel_versions: { ...thread.versions },
      versions_seen: {},
    };
    const counters = { messages: [thread.updatesSinceSnapshot, thread.updatesSinceSnapshot] as [number, number] };
    const metadata: CheckpointMetadata = {
      source: step < 0 ? "input" : "loop",
      step,
      parents: {},
      ...(delta ? { counters_since_delta_snapshot: counters } : {}),
    };
    const newVersions = Object.fromEntries(changed.map((channel) => [channel, thread.versions[channel] as number]));
    await saver.put(configOf(agentId, thread.checkpointId), checkpoint, metadata, newVersions);
    thread.checkpointId = checkpoint.id;
    return checkpoint.id;
  };

  const storeChange = async ({ agentId, turn, state, change }: Step, thread: Thread) => {
    const { members, added } = present(change, "the change");
    const { messages, ...others } = state;
    // The writes of a step stand beside the checkpoint before it; a thread begins with that of its input.
    const first = thread.checkpointId === undefined;
    if (first) await put(agentId, thread, -1, {}, []);
    const changed = first ? Object.keys(state) : members;
    const writes = changed.map((name): [string, unknown] => [name, name === "messages" ? added : state[name]]);
    await saver.putWrites(configOf(agentId, thread.checkpointId), writes, randomUUID(), "");
    thread.updatesSinceSnapshot += 1;
    const due = thread.updatesSinceSnapshot >= SNAPSHOT_FREQUENCY;
    if (due) thread.updatesSinceSnapshot = 0;
    return await put(
      agentId,
      thread,
      turn,
      due ? { ...others, messages: new DeltaSnapshot(messages) } : others,
      changed,
    );
  };

  const read = async (agentId: string, id?: string): Promise<unknown> => {
    const config = configOf(agentId, id);
    const { channel_values: values } = present(await saver.getTuple(config), "a checkpoint").checkpoint;
    if (!delta) return values;
    const stored = values["messages"];
    if (isDeltaSnapshot(stored)) return { ...values, messages: stored.value };
    const history = await saver.getDeltaChannelHistory({ config, channels: ["messages"] });
    const { seed, writes } = present(history["messages"], "a history");
    const base = isDeltaSnapshot(seed) ? (seed as DeltaSnapshot<unknown[]>).value : [];
    return { ...values, messages: [...base, ...writes.flatMap((write) => write[2] as unknown[])] };
  };

  return {
    async store(step) {
      const { agentId, turn, state, change } = step;
      const thread: Thread = threads.get(agentId) ?? { checkpointId: undefined, versions: {}, updatesSinceSnapshot: 0 };
      threads.set(agentId, thread);
      if (delta) return await storeChange(step, thread);
      const first = thread.checkpointId === undefined;
      return await put(agentId, thread, turn, { ...state }, first || !change ? Object.keys(state) : change.members);
    },
    retrieve: read,
    retrieveLatest: (agentId) => read(agentId),
    async list(agentId, limit) {
      let count = 0;
      for await (const _ of saver.list(configOf(agentId), { limit })) count += 1;
      return count;
    },
    close,
  };
}

function configOf(agentId: string, checkpointId?: string) {
  return {
    configurable: {
      thread_id: agentId,
      checkpoint_ns: "",
      ...(checkpointId === undefined ? {} : { checkpoint_id: checkpointId }),
    },
  };
}

export async function openSaver(
  place: Place,
  fresh: boolean,
): Promise<{ saver: BaseCheckpointSaver; close: () => Promise<void> }> {
  if (place.kind === "sqlite") {
    const { SqliteSaver } = await import("@langchain/langgraph-checkpoint-sqlite");
    const database = openSqliteHandle(place);
    return { saver: new SqliteSaver(database), close: async () => void database.close() };
  }
  if (place.kind === "postgres") {
    const { PostgresSaver } = await import("@langchain/langgraph-checkpoint-postgres");
    const saver = PostgresSaver.fromConnString(place.url);
    if (fresh) await saver.setup();
    await saver.getTuple(configOf("nobody")); // connects
    return { saver, close: () => saver.end() };
  }
  throw new Error(`expected SQLite or PostgreSQL, got ${place.kind}`);
}
