import Database from "better-sqlite3";
import type { Arena } from "./arena.ts";
import { Crew } from "./crew.ts";
import { Ledger } from "./ledger.ts";
import { scale } from "./scale.ts";
import type { Aftermath, ScenarioOptions } from "./scenario.ts";
import { emptyDatabase } from "./sql.ts";

/** Turns that each agent makes while main is away, and as many when another one is there. */
const LATER_TURNS = Math.ceil(scale.turns / 5);
/** Turns of each agent that only main has when it burns down. */
const UNSENT_TURNS = 2;

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
 */
export function destroyWhenAsync(arena: Arena): ScenarioOptions["work"] {
  return async (crew): Promise<Aftermath> => {
    const problems: string[] = [];
    const sent = scale.turns - UNSENT_TURNS - 2 * LATER_TURNS;
    crew.allow(sent);
    await crew.reach(sent * Crew.agents);
    await crew.rest();
    await crew.drained();
    const before = acknowledgedIn(crew);

    const release = await holdBackup(arena);
    crew.allow(sent + UNSENT_TURNS, "stores only");
    crew.goOn();
    await crew.reach((sent + UNSENT_TURNS) * Crew.agents);
    const destroyed = new Set([...acknowledgedIn(crew).keys()].filter((id) => !before.has(id)));
    for (const [place, told] of (await backlogsOf(crew)).entries()) {
      if (told !== destroyed.size)
        problems.push(`process ${place} tells of ${told} unsent, and it is ${destroyed.size}`);
    }
    await crew.rest();
    await takeAway(arena);
    // With them goes what was on its way. Without it, more would be saved than was told.
    await crew.restart();
    await release();

    // What was sent is there at once, and the backup takes what comes.
    const latest = await crew.latest();
    for (const [agent, newest] of newestOf(before)) {
      const found = latest.get(agent);
      if (found?.id !== newest || found.source !== "backup") {
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
    return { problems, destroyed, told: `: gone are the ${destroyed.size} that status() had told to be unsent` };
  };
}

/** What each process has to send. One that waits for its locked backup may not hear main's answer in time, and asks again. */
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
  for (const [agent, entries] of crew.journals()) {
    for (const id of Ledger.of(agent, entries).live()) owners.set(id, agent);
  }
  return owners;
}

function newestOf(owners: ReadonlyMap<string, string>): Map<string, string> {
  const newest = new Map<string, string>();
  for (const [id, agent] of owners) if (id > (newest.get(agent) ?? "")) newest.set(agent, id);
  return newest;
}
