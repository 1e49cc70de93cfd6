import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Database } from "../databases.ts";
import type { Home } from "./system.ts";

/** An empty database of the kind that the run is about. */
export async function homeOn(database: Database): Promise<Home> {
  const place = await database.createPlace();
  const drop = () => place.drop();
  if (place.kind !== "sqlite") return { target: { url: place.url }, drop };
  return { target: { url: `sqlite:${place.path}`, database: { synchronous: place.synchronous } }, drop };
}

/** The same, with statements that are prepared once: it saves a round trip for each, and poolers may not allow it. */
export async function preparedHomeOn(database: Database): Promise<Home> {
  const { target, drop } = await homeOn(database);
  return { target: { ...target, database: { ...target.database, prepare: true } }, drop };
}

/** A SQLite file, beside the database that the run is about. */
export async function sqliteHome(): Promise<Home> {
  const { folder, drop } = await createFolder();
  return { target: { url: `sqlite:${join(folder, "agents.db")}`, database: { synchronous: "FULL" } }, drop };
}

export async function pgliteHome(): Promise<Home> {
  const { folder, drop } = await createFolder();
  return { target: { pgliteDataDir: join(folder, "pglite") }, drop };
}

async function createFolder(): Promise<{ folder: string; drop(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), "waymark-bench-elizaos-"));
  return { folder, drop: () => rm(folder, { recursive: true, force: true }) };
}
