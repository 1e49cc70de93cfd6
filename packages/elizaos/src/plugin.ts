import { closeOnExit } from "@waymark/core";
import { property } from "@waymark/core/records";
import { createAdapter, type WaymarkAdapter } from "./adapter.ts";
import { checkUuid } from "./checks.ts";
import { acquire, type SharedConnection } from "./connections.ts";
import type { Runtime, UUID } from "./contract.ts";
import { checkOptions, type ResolvedOptions, resolveOptions, type WaymarkOptions } from "./options.ts";

/** The plugin, as a list of plugins of ElizaOS 1.x takes it. It has no schema: the adapter migrates its tables itself. */
export interface WaymarkPlugin {
  readonly name: "@waymark/elizaos";
  readonly description: string;
  readonly priority: number;
  init(config: Record<string, string>, runtime: Runtime): Promise<void>;
}

export interface Waymark {
  /**
   * Makes the plugin. One may be used by several agents: those of the same database share a connection.
   * @throws CheckpointError `INVALID_ARGUMENT`
   */
  (options?: WaymarkOptions): WaymarkPlugin;
  /**
   * Makes the adapter of one agent, for `elizaOS.addAgents([{ character, databaseAdapter }])` or `new AgentRuntime({ adapter })`. Of
   * settings it knows the environment alone: there is no character yet.
   * @throws CheckpointError `INVALID_ARGUMENT`, `INVALID_CONFIG`
   */
  adapter(options: WaymarkOptions, agentId: UUID): WaymarkAdapter;
}

/** Makes the plugin, or single adapters. */
export const waymark: Waymark = Object.assign(makePlugin, { adapter: makeAdapter });

function makePlugin(options: WaymarkOptions = {}): WaymarkPlugin {
  const checked = checkOptions(options);
  return {
    name: "@waymark/elizaos",
    description: "Keeps agents in SQLite, PostgreSQL, PGlite, MySQL or MariaDB",
    priority: 0,
    /** Awaits nothing before it has registered: so its adapter is the first, wherever plugin-sql is in the list. */
    async init(_config, runtime) {
      const adapter = adapterOf(
        resolveOptions(checked, (name) => runtime.getSetting(name)),
        runtime.agentId,
      );
      runtime.registerDatabaseAdapter(adapter as never);
      // Another one was there before: its own `close` will not reach this one.
      const used = property(runtime, "adapter");
      if (used !== undefined && used !== adapter) await adapter.close();
    },
  };
}

function makeAdapter(options: WaymarkOptions, agentId: UUID): WaymarkAdapter {
  return adapterOf(resolveOptions(checkOptions(options)), checkUuid("agentId", agentId));
}

function adapterOf({ place, adapter: options, closeOnExit: closes }: ResolvedOptions, agentId: UUID): WaymarkAdapter {
  const connection = acquire(place);
  if (!closes) return createAdapter(connection, agentId, options);
  let forget = () => {};
  const released = releasing(connection, () => forget());
  const adapter = createAdapter(released, agentId, options);
  forget = closeOnExit(() => adapter.close());
  return adapter;
}

/** Calls a function when a share is released: an adapter that was closed need not be closed when the process ends. */
function releasing(connection: SharedConnection, onRelease: () => void): SharedConnection {
  return {
    store: () => connection.store(),
    another: (options) => connection.another(options),
    get opened() {
      return connection.opened;
    },
    release() {
      onRelease();
      return connection.release();
    },
  };
}
