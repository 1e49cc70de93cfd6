import { type Checkout, namesOfTwin } from "../against.ts";
import type { DatabaseName } from "../databases.ts";
import { drizzle } from "./drizzle.ts";
import { langgraph, langgraphDelta } from "./langgraph.ts";
import { mastra } from "./mastra.ts";
import { floor, raw, rawExternal, rawLz4 } from "./raw.ts";
import type { Absent, System } from "./system.ts";
import { openSession, waymark, waymarkFrozen } from "./waymark.ts";

/** In the order of the tables. */
const SYSTEMS = [
  raw,
  rawLz4,
  rawExternal,
  drizzle,
  langgraph,
  langgraphDelta,
  mastra,
  waymark,
  waymarkFrozen,
  floor,
] as const;

export const SYSTEM_IDS = SYSTEMS.map(({ id }) => id);

/** Tells products of others from what is ours or made by hand. */
export function isPeer(id: string): boolean {
  return [langgraph, langgraphDelta, mastra].some((peer) => peer.id === id);
}

/** Finds the chosen systems that run on this database, those of another checkout beside ours; and why the others do not. */
export function systemsOn(
  database: DatabaseName,
  chosen: readonly string[],
  against: Checkout | undefined,
): { systems: System[]; absent: Absent[] } {
  const wanted = SYSTEMS.filter(({ id }) => chosen.includes(id));
  const absent = wanted.flatMap(({ id, title }) => {
    const reason = whyNot(id, database);
    return reason === undefined ? [] : [{ id, title, absent: reason }];
  });
  const systems = wanted
    .filter(({ id }) => whyNot(id, database) === undefined)
    .flatMap((system): System[] => {
      if (against === undefined || !OURS.includes(system)) return [system];
      return [system, { ...system, ...namesOfTwin(system, against), open: (place) => openSession(place, against) }];
    });
  // Variants of the raw driver that exist only here are no news elsewhere.
  return { systems, absent: absent.filter(({ id }) => !VARIANTS.includes(id)) };
}

const OURS: readonly System[] = [waymark, waymarkFrozen];

const VARIANTS: readonly string[] = [rawLz4.id, rawExternal.id];

function whyNot(id: string, database: DatabaseName): string | undefined {
  if (VARIANTS.includes(id)) return database === "postgres" ? undefined : "PostgreSQL's column storages only";
  const isMysql = database === "mysql" || database === "mariadb";
  if (isMysql && (id === langgraph.id || id === langgraphDelta.id)) return "LangGraph.js has no saver for it";
  return undefined;
}
