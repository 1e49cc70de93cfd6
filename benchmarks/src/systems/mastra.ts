import type { Place, Synchronous } from "../databases.ts";
import { POOL_SIZE, present, type Session, type System } from "./system.ts";

/**
 * Mastra's workflow snapshots, from which it resumes its agents. A run has one snapshot, which each step overwrites. So that the
 * history is kept, each turn is a run of its own here, and the agent is the workflow.
 */
export const mastra: System = { id: "mastra", title: "Mastra, history kept", states: "live", open };

/** The part of its storage that we use. */
interface Workflows {
  init(): Promise<void>;
  persistWorkflowSnapshot(run: {
    workflowName: string;
    runId: string;
    resourceId: string;
    snapshot: never;
    createdAt: Date;
    updatedAt: Date;
  }): Promise<void>;
  loadWorkflowSnapshot(run: { workflowName: string; runId: string }): Promise<unknown>;
  listWorkflowRuns(query: {
    workflowName: string;
    perPage: number;
    page: number;
  }): Promise<{ runs: { snapshot: unknown }[] }>;
}

async function open(place: Place, fresh: boolean): Promise<Session> {
  const { workflows, close } = await openWorkflows(place, fresh);
  const stateOf = (snapshot: unknown) => (present(snapshot, "a snapshot") as { value: unknown }).value;
  const start = Date.now();
  return {
    async store({ agentId, turn, state }) {
      const runId = `${agentId}:${turn}`;
      // It orders by this time alone, so no two turns may have the same one.
      const time = new Date(start + turn);
      const snapshot = {
        runId,
        status: "running",
        value: state,
        context: {},
        serializedStepGraph: [],
        activePaths: [],
        activeStepsPath: {},
        suspendedPaths: {},
        resumeLabels: {},
        waitingPaths: {},
        timestamp: time.getTime(),
      };
      await workflows.persistWorkflowSnapshot({
        workflowName: agentId,
        runId,
        resourceId: agentId,
        snapshot: snapshot as never,
        createdAt: time,
        updatedAt: time,
      });
      return runId;
    },
    retrieve: async (agentId, runId) => stateOf(await workflows.loadWorkflowSnapshot({ workflowName: agentId, runId })),
    async retrieveLatest(agentId) {
      const { runs } = await workflows.listWorkflowRuns({ workflowName: agentId, perPage: 1, page: 0 });
      return stateOf(runs[0]?.snapshot);
    },
    async list(agentId, limit) {
      const { runs } = await workflows.listWorkflowRuns({ workflowName: agentId, perPage: limit, page: 0 });
      return runs.length;
    },
    close,
  };
}

async function openWorkflows(
  place: Place,
  fresh: boolean,
): Promise<{ workflows: Workflows; close: () => Promise<void> }> {
  const { store, ready, close } = await openStore(place);
  try {
    const workflows = present(await store.getStore("workflows"), "the workflow store") as unknown as Workflows;
    // This part's table alone: the tables of the others would count as bytes on disk, and MariaDB refuses some of them.
    if (fresh) await workflows.init();
    await workflows.listWorkflowRuns({ workflowName: "nobody", perPage: 1, page: 0 });
    await ready();
    return { workflows, close };
  } catch (error) {
    await close().catch(() => {});
    throw error;
  }
}

interface Store {
  getStore(domain: "workflows"): Promise<unknown>;
}

async function openStore(place: Place): Promise<{ store: Store; ready(): Promise<void>; close(): Promise<void> }> {
  const common = { id: "benchmark", disableInit: true };
  const ready = async () => {};
  switch (place.kind) {
    case "sqlite":
      return await openLibSQL(place.path, place.synchronous, common);
    case "postgres": {
      const { PostgresStore } = await import("@mastra/pg");
      const store = new PostgresStore({ ...common, connectionString: place.url, max: POOL_SIZE });
      return { store, ready, close: () => store.close() };
    }
    case "mysql": {
      const { MySQLStore } = await import("@mastra/mysql");
      const store = new MySQLStore({ ...common, connectionString: place.url, max: POOL_SIZE });
      return { store, ready, close: () => store.close() };
    }
  }
}

async function openLibSQL(path: string, synchronous: Synchronous, common: { id: string; disableInit: boolean }) {
  const { LibSQLStore } = await import("@mastra/libsql");
  const { createClient } = await import("@libsql/client");
  // One connection, since its settings are the connection's own.
  const client = createClient({ url: `file:${path}`, concurrency: 1 });
  // Mastra's type of a client and libsql's own differ in optional members alone.
  const store = new LibSQLStore({ ...common, client: client as never });
  return {
    store,
    async ready() {
      // Mastra sets NORMAL by itself when it opens; everybody here has the same.
      await client.execute(`pragma synchronous = ${synchronous}`);
    },
    async close() {
      const { rows } = await client.execute(
        "select journal_mode, synchronous from pragma_journal_mode, pragma_synchronous",
      );
      client.close();
      const settings = `${rows[0]?.["journal_mode"]}, ${rows[0]?.["synchronous"]}`;
      const expected = `wal, ${synchronous === "FULL" ? 2 : 1}`;
      if (settings !== expected) throw new Error(`expected the settings ${expected}, got ${settings}`);
    },
  };
}
