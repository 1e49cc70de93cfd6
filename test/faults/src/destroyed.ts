import type { ProviderConfig } from "@waymark/core";
import Database from "better-sqlite3";
import type { Arena } from "./arena.ts";
import { waitUntil } from "./conditions.ts";
import { readContents } from "./contents.ts";
import { Crew } from "./crew.ts";
import type { Entry } from "./journal.ts";
import { Ledger } from "./ledger.ts";
import { scale } from "./scale.ts";
import type { Aftermath, ScenarioOptions } from "./scenario.ts";
import { emptyDatabase, endSessions, lockStores, storedRows } from "./sql.ts";

/** Turns that each agent makes while main is unreachable, and again when an empty main is there. */
const LATER_TURNS = Math.ceil(scale.turns / 5);
/** Turns of each agent that only main has when it is destroyed. */
const UNSENT_TURNS = 2;
/** Time within which a store must fail: far longer than any deadline. */
const FAILS_WITHIN_MS = 60_000;

/**
 * Destroys main with its data while the agents work, and puts an empty one at the same URL. Nothing may be lost: with
 * `replication: "required"` the backup has all that was acknowledged.
 */
export function destroyWhenRequired(arena: Arena): ScenarioOptions["work"] {
  return async (crew) => {
    const { turns } = scale;
    crew.allow(turns - 2 * LATER_TURNS);
    await crew.waitForTurns(Math.floor((turns - 2 * LATER_TURNS) * Crew.agents * 0.8));
    await destroyMain(arena);
    crew.allow(turns - LATER_TURNS);
    await crew.waitForTurns((turns - LATER_TURNS) * Crew.agents);
    await reconnectMain(arena);
    crew.allow(turns);
    await crew.waitForTurns(turns * Crew.agents);
    return {};
  };
}

/**
 * Does the same with `replication: "async"` and a backup that is behind. Only rows that `status()` reported as unsent may be lost.
 * Their agents then stop, and others work.
 *
 * Main finishes some stores only after their agents have given them up. The agents then store the turn again, under another id.
 * So more rows are unsent than were acknowledged, as happens whenever main answers too late.
 */
export function destroyWhenAsync(arena: Arena): ScenarioOptions["work"] {
  return async (crew): Promise<Aftermath> => {
    const problems: string[] = [];
    const [main, backup] = [arena.direct.mains[0], arena.direct.backups[0]] as [ProviderConfig, ProviderConfig];
    const sent = scale.turns - UNSENT_TURNS - 2 * LATER_TURNS;
    crew.allow(sent);
    await crew.waitForTurns(sent * Crew.agents);
    await crew.rest();
    await endSessions(main);
    await crew.waitUntilDrained();
    const before = acknowledgedIn(crew);

    const release = await blockBackup(arena);
    const unlock = await lockStores(main["connectionString"] as string);
    try {
      crew.allow(sent + UNSENT_TURNS, "stores only");
      crew.resume();
      const hasFailed = () => [...crew.journals().values()].some((entries) => entries.some(isFailedStoreFrom(sent)));
      await waitUntil(FAILS_WITHIN_MS, hasFailed, () => "no store has failed, although main is locked");
    } finally {
      await unlock();
    }
    await crew.waitForTurns((sent + UNSENT_TURNS) * Crew.agents);
    await crew.rest();
    const destroyed = new Set([...acknowledgedIn(crew).keys()].filter((id) => !before.has(id)));
    await endSessions(main);
    const unsent = await pendingIn(main);
    for (const [place, reported] of (await backlogsOf(crew)).entries()) {
      if (reported !== unsent.size)
        problems.push(`process ${place} reports ${reported} unsent rows, but ${unsent.size} are pending`);
    }
    problems.push(...problemsWithUnsent(crew, unsent, destroyed));
    await destroyMain(arena);
    // Without a restart, the processes could still send unsent rows from memory, and less would be lost than was reported.
    await crew.restart();
    await release();

    // The backup answers with all that was sent, and takes new stores.
    const { items } = await readContents("backup", backup);
    const latest = await crew.readLatest();
    for (const agent of new Set(before.values())) {
      const newest = items.get(agent)?.at(-1)?.id;
      const found = latest.get(agent);
      if (newest === undefined || found?.id !== newest || found.source !== "backup") {
        problems.push(
          `${agent}: the latest should be ${newest} from the backup, but it is ${found?.id} from ${found?.source}`,
        );
      }
    }
    crew.startNewAgents(LATER_TURNS);
    await crew.waitForTurns(LATER_TURNS * Crew.agents);
    await reconnectMain(arena);
    crew.allow(2 * LATER_TURNS);
    await crew.waitForTurns(2 * LATER_TURNS * Crew.agents);
    // More rows can be unsent than were acknowledged: some stores failed for their agents, and main has done them all the same.
    const lost = destroyed.size === unsent.size ? `the ${unsent.size}` : `${destroyed.size} of the ${unsent.size}`;
    return { problems, destroyed, note: `: lost are ${lost} that status() reported as unsent` };
  };
}

/** Returns a predicate of journal entries: true for a failed store of that turn or a later one. */
function isFailedStoreFrom(first: number): (entry: Entry) => boolean {
  return ({ intent, outcome }) =>
    intent.kind === "store" && intent.turn >= first && outcome !== null && "failed" in outcome;
}

async function pendingIn(provider: ProviderConfig): Promise<Set<string>> {
  const rows = await storedRows(provider);
  return new Set(rows.flatMap(({ id, isPending }) => (isPending ? [id] : [])));
}

/** Lists problems with the unsent rows: each must be of an acknowledged store, or of a store without an id that failed. */
function problemsWithUnsent(crew: Crew, unsent: ReadonlySet<string>, acknowledged: ReadonlySet<string>): string[] {
  const problems = [...acknowledged]
    .filter((id) => !unsent.has(id))
    .map((id) => `${id} is only in main, but not pending`);
  const ledgers = ledgersOf(crew);
  const others = [...unsent].filter((id) => !acknowledged.has(id));
  for (const id of others.filter((other) => ledgers.some(({ checkpoints }) => checkpoints.has(other)))) {
    problems.push(`${id} is pending, although it was sent before`);
  }
  const failed = ledgers.flatMap(({ orphans }) => [...orphans.values()]).reduce((sum, count) => sum + count, 0);
  if (others.length > failed) {
    problems.push(
      `${others.length} pending rows are unknown to agents, but only ${failed} stores without an id failed`,
    );
  }
  return problems;
}

/** Returns main's backlog as each process reports it. A process that got no answer from main in time is asked again. */
async function backlogsOf(crew: Crew): Promise<number[]> {
  for (;;) {
    const backlogs = (await crew.statuses()).map(({ providers }) => providers["main"]?.backlog?.rows);
    if (backlogs.every((rows) => rows !== undefined)) return backlogs;
  }
}

/** Cuts main off from the processes, and deletes all of its data. */
async function destroyMain({ proxy, server, database }: Arena): Promise<void> {
  await proxy?.refuse(true);
  proxy?.dropAll();
  await emptyDatabase(server.url, database.name);
}

async function reconnectMain({ proxy }: Arena): Promise<void> {
  await proxy?.refuse(false);
}

/** Makes the backup refuse all writes. Returns a function that ends that. */
async function blockBackup({ backupProxy, stores }: Arena): Promise<() => Promise<void>> {
  if (backupProxy !== null) {
    await backupProxy.refuse(true);
    backupProxy.dropAll();
    return async () => await backupProxy.refuse(false);
  }
  const database = new Database(stores.backups[0]?.["databasePath"] as string);
  database.exec("begin immediate");
  return async () => void database.close();
}

/** Returns the ids that must be stored, with their agents. */
function acknowledgedIn(crew: Crew): Map<string, string> {
  const owners = new Map<string, string>();
  for (const ledger of ledgersOf(crew)) for (const id of ledger.liveIds()) owners.set(id, ledger.agent);
  return owners;
}

function ledgersOf(crew: Crew): Ledger[] {
  return [...crew.journals()].map(([agent, entries]) => Ledger.of(agent, entries));
}
