import type { ProviderConfig } from "@waymark/core";
import Database from "better-sqlite3";
import type { Arena } from "./arena.ts";
import { until } from "./conditions.ts";
import { readContents } from "./contents.ts";
import { Crew } from "./crew.ts";
import type { Entry } from "./journal.ts";
import { Ledger } from "./ledger.ts";
import { scale } from "./scale.ts";
import type { Aftermath, ScenarioOptions } from "./scenario.ts";
import { emptyDatabase, endSessions, lockStores, storedRows } from "./sql.ts";

/** Turns that each agent makes while main is away, and as many when another one is there. */
const LATER_TURNS = Math.ceil(scale.turns / 5);
/** Turns of each agent that only main has when it burns down. */
const UNSENT_TURNS = 2;
/** Far longer than any deadline. */
const FAILS_WITHIN_MS = 60_000;

/**
 * Main is destroyed with its data while the agents work, and an empty one comes at the same URL. What was acknowledged, the
 * backup has, since that was required.
 */
export function destroyWhenRequired(arena: Arena): ScenarioOptions["work"] {
  return async (crew) => {
    const { turns } = scale;
    crew.allow(turns - 2 * LATER_TURNS);
    await crew.reach(Math.floor((turns - 2 * LATER_TURNS) * Crew.agents * 0.8));
    await takeAway(arena);
    crew.allow(turns - LATER_TURNS);
    await crew.reach((turns - LATER_TURNS) * Crew.agents);
    await bringEmptyOne(arena);
    crew.allow(turns);
    await crew.reach(turns * Crew.agents);
    return {};
  };
}

/**
 * The same where the backup is behind: what is lost is what `status()` had told to be unsent, and nothing else. The agents
 * whose checkpoints these are rest from then on; others work.
 *
 * Some of the stores main does only when their agents have given them up. These store the turn once more, under another id: so
 * more is unsent than was acknowledged, as it may be whenever main's answer comes too late.
 */
export function destroyWhenAsync(arena: Arena): ScenarioOptions["work"] {
  return async (crew): Promise<Aftermath> => {
    const problems: string[] = [];
    const [main, backup] = [arena.direct.mains[0], arena.direct.backups[0]] as [ProviderConfig, ProviderConfig];
    const sent = scale.turns - UNSENT_TURNS - 2 * LATER_TURNS;
    crew.allow(sent);
    await crew.reach(sent * Crew.agents);
    await crew.rest();
    await endSessions(main);
    await crew.drained();
    const before = acknowledgedIn(crew);

    const release = await holdBackup(arena);
    const unlock = await lockStores(main["connectionString"] as string);
    try {
      crew.allow(sent + UNSENT_TURNS, "stores only");
      crew.goOn();
      const hasFailed = () => [...crew.journals().values()].some((entries) => entries.some(isFailedStoreFrom(sent)));
      await until(FAILS_WITHIN_MS, hasFailed, () => "no store has failed, though main took none");
    } finally {
      await unlock();
    }
    await crew.reach((sent + UNSENT_TURNS) * Crew.agents);
    await crew.rest();
    const destroyed = new Set([...acknowledgedIn(crew).keys()].filter((id) => !before.has(id)));
    await endSessions(main);
    const unsent = await pendingIn(main);
    for (const [place, told] of (await backlogsOf(crew)).entries()) {
      if (told !== unsent.size) problems.push(`process ${place} tells of ${told} unsent, and it is ${unsent.size}`);
    }
    problems.push(...complaints(crew, unsent, destroyed));
    await takeAway(arena);
    // With them goes what was on its way. Without it, more would be saved than was told.
    await crew.restart();
    await release();

    // What was sent is there at once, and the backup takes what comes.
    const { items } = await readContents("backup", backup);
    const latest = await crew.latest();
    for (const agent of new Set(before.values())) {
      const newest = items.get(agent)?.at(-1)?.id;
      const found = latest.get(agent);
      if (newest === undefined || found?.id !== newest || found.source !== "backup") {
        problems.push(
          `${agent}: the backup should answer with ${newest}, and it is ${found?.id} from ${found?.source}`,
        );
      }
    }
    crew.newAgents(LATER_TURNS);
    await crew.reach(LATER_TURNS * Crew.agents);
    await bringEmptyOne(arena);
    crew.allow(2 * LATER_TURNS);
    await crew.reach(2 * LATER_TURNS * Crew.agents);
    // More than what was acknowledged: where a store failed that main has done all the same.
    const gone = destroyed.size === unsent.size ? `the ${unsent.size}` : `${destroyed.size} of the ${unsent.size}`;
    return { problems, destroyed, told: `: gone are ${gone} that status() had told to be unsent` };
  };
}

/** Tells whether an entry is a store of that turn, or of a later one, that failed. */
function isFailedStoreFrom(first: number): (entry: Entry) => boolean {
  return ({ intent, outcome }) =>
    intent.kind === "store" && intent.turn >= first && outcome !== null && "failed" in outcome;
}

async function pendingIn(provider: ProviderConfig): Promise<Set<string>> {
  const rows = await storedRows(provider);
  return new Set(rows.flatMap(({ id, isPending }) => (isPending ? [id] : [])));
}

/** Complaints of what is unsent: each of these has to be one that was acknowledged, or of a store without an id that failed. */
function complaints(crew: Crew, unsent: ReadonlySet<string>, acknowledged: ReadonlySet<string>): string[] {
  const problems = [...acknowledged]
    .filter((id) => !unsent.has(id))
    .map((id) => `${id} is in main alone, and not among what is unsent`);
  const ledgers = ledgersOf(crew);
  const others = [...unsent].filter((id) => !acknowledged.has(id));
  for (const id of others.filter((other) => ledgers.some(({ checkpoints }) => checkpoints.has(other)))) {
    problems.push(`${id} is unsent, and it was sent before`);
  }
  const failed = ledgers.flatMap(({ orphans }) => [...orphans.values()]).reduce((sum, count) => sum + count, 0);
  if (others.length > failed) {
    problems.push(`${others.length} are unsent that no agent knows, and ${failed} stores without an id have failed`);
  }
  return problems;
}

/** What each process has to send. One that does not hear main's answer in time does not tell, and is asked again. */
async function backlogsOf(crew: Crew): Promise<number[]> {
  for (;;) {
    const backlogs = (await crew.statuses()).map(({ providers }) => providers["main"]?.backlog?.rows);
    if (backlogs.every((rows) => rows !== undefined)) return backlogs;
  }
}

/** Nobody reaches main, and then there is nothing left of it. */
async function takeAway({ proxy, server, database }: Arena): Promise<void> {
  await proxy?.refuse(true);
  proxy?.dropAll();
  await emptyDatabase(server.url, database.name);
}

async function bringEmptyOne({ proxy }: Arena): Promise<void> {
  await proxy?.refuse(false);
}

/** From now on the backup takes nothing; returns what ends that. */
async function holdBackup({ backupProxy, stores }: Arena): Promise<() => Promise<void>> {
  if (backupProxy !== null) {
    await backupProxy.refuse(true);
    backupProxy.dropAll();
    return async () => await backupProxy.refuse(false);
  }
  const database = new Database(stores.backups[0]?.["databasePath"] as string);
  database.exec("begin immediate");
  return async () => void database.close();
}

/** The ids that are there for certain, and whose they are. */
function acknowledgedIn(crew: Crew): Map<string, string> {
  const owners = new Map<string, string>();
  for (const ledger of ledgersOf(crew)) for (const id of ledger.live()) owners.set(id, ledger.agent);
  return owners;
}

function ledgersOf(crew: Crew): Ledger[] {
  return [...crew.journals()].map(([agent, entries]) => Ledger.of(agent, entries));
}
