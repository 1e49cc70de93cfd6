/** ElizaOS' own adapter, on a PGlite database in memory. */

/** An adapter, as far as calls are made by their names. */
export type Subject = Readonly<Record<string, (...args: readonly unknown[]) => Promise<unknown>>>;

interface PluginSql {
  readonly default: { readonly name: string; readonly schema: Record<string, unknown> };
  createDatabaseAdapter(config: { readonly dataDir: string }, agentId: string): object;
}

interface Reference {
  /** The adapters, in the order of the ids. */
  readonly adapters: readonly Subject[];
  close(): Promise<void>;
}

/** Opens the adapters of some agents on one empty database. */
export async function openReference(agentIds: readonly string[]): Promise<Reference> {
  process.env["LOG_LEVEL"] ??= "fatal"; // read when ElizaOS is imported: each call that is refused would be logged
  const name: string = "@elizaos/plugin-sql"; // its declarations are not where it says
  const { default: plugin, createDatabaseAdapter } = (await import(name)) as PluginSql;
  const adapters = agentIds.map((agentId) => {
    const adapter = createDatabaseAdapter({ dataDir: "memory://" }, agentId);
    // It tries whatever fails three times, with seconds between.
    return Object.assign(adapter, { maxRetries: 1 }) as unknown as Subject;
  });
  const [first] = adapters;
  if (first === undefined) throw new Error("expected an agent");
  await first["init"]?.();
  await first["runPluginMigrations"]?.([{ name: plugin.name, schema: plugin.schema }], {});
  return { adapters, close: async () => void (await first["close"]?.()) };
}
