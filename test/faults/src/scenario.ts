import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CheckpointConfig, ProviderConfig } from "@waymark/core";
import { check } from "./checker.ts";
import { type Contents, readContents } from "./contents.ts";
import { Crew } from "./crew.ts";
import type { Lie } from "./liar.ts";
import { numbers, seedOf } from "./random.ts";
import { PROCESSES, scale } from "./scale.ts";
import { endSessions } from "./sql.ts";
import type { Result } from "./table.ts";

/** With this seed each agent does the same again. Only the moments at which things happen are others. */
export const SEED = Number(process.env["WAYMARK_FAULTS_SEED"] ?? Date.now() % 1_000_000);

/** Something that is done to a database, a network or a process while agents work, and undone. */
export interface Fault {
  readonly title: string;
  readonly times: number;
  /** How long it lasts at least, and at most: until then it ends when the agents have got on by so much. */
  readonly lastsMs: readonly [number, number];
  begin(crew: Crew): Promise<void>;
  end(crew: Crew): Promise<void>;
}

export interface Stores {
  /** One for all processes; or one for each, of the same data. */
  readonly mains: readonly ProviderConfig[];
  /** None; or one that the processes share; or one for each. */
  readonly backups: readonly ProviderConfig[];
}

export interface ScenarioOptions {
  readonly title: string;
  /** What the processes open. */
  readonly stores: Stores;
  /** The same databases, past all that a fault does. */
  readonly direct: Stores;
  readonly policy: Omit<CheckpointConfig, "providers">;
  /** What happens while the agents work. */
  work(crew: Crew, next: () => number): Promise<Aftermath>;
  readonly lie?: Lie;
}

export interface Aftermath {
  /** Beside the scenario's title, what has come out. */
  readonly told?: string;
  readonly problems?: readonly string[];
  /** Checkpoints that were acknowledged and are nowhere any more, as was told before: these, and no others. */
  readonly destroyed?: ReadonlySet<string>;
}

/** Lets the agents work while the fault comes and goes, heals, waits until all is everywhere, and counts. */
export async function runScenario(options: ScenarioOptions): Promise<Result> {
  const { title, stores, direct, policy } = options;
  const folder = await mkdtemp(join(tmpdir(), "waymark-faults-"));
  const seed = seedOf(SEED, title);
  const configs = Array.from({ length: PROCESSES }, (_, place) => configOf(stores, policy, place));
  const crew = new Crew({ configs, folder, seed, ...(options.lie && { lie: options.lie }) });
  const problems: string[] = [];
  let aftermath: Aftermath = {};
  const attempt = async (work: () => Promise<string[] | undefined>) => {
    try {
      problems.push(...((await work()) ?? []));
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
    }
  };

  const began = performance.now();
  const times: string[] = [];
  const lap = (name: string) => times.push(`${name} ${Math.round(performance.now() - began)} ms`);
  await attempt(async () => {
    await crew.start();
    lap("started");
    aftermath = await options.work(crew, numbers(seed));
    await crew.rest();
    lap("worked");
    problems.push(...(aftermath.problems ?? []));
    return await crew.settle(async () => {
      await Promise.all([...direct.mains, ...direct.backups].map(endSessions));
    });
  });
  lap("settled");
  if (problems.length === 0) await attempt(() => crew.close());
  await crew.kill();
  lap("closed");

  const databases: Contents[] = [];
  await attempt(async () => {
    for (const [place, main] of direct.mains.entries()) databases.push(await readContents(`main ${place}`, main));
    for (const [place, backup] of direct.backups.entries()) {
      databases.push(await readContents(`backup ${place}`, backup));
    }
    return undefined;
  });
  const { findings, ...counts } = check(crew.journals(), databases, aftermath.destroyed);
  lap("checked");
  if (process.env["WAYMARK_FAULTS_TIMES"]) console.log(`${title}: ${times.join(", ")}`);
  problems.push(...findings.map(({ count, text }) => `${count}: ${text}`));
  if (problems.length === 0) await rm(folder, { recursive: true });
  else problems.push(`seed WAYMARK_FAULTS_SEED=${SEED}; the journals are in ${folder}`);
  return { fault: title + (aftermath.told ?? ""), ...counts, problems };
}

function configOf(
  { mains, backups }: Stores,
  policy: Omit<CheckpointConfig, "providers">,
  place: number,
): CheckpointConfig {
  const main = mains[place % mains.length] as ProviderConfig;
  const backup = backups[place % backups.length];
  return backup === undefined ? { providers: { main } } : { ...policy, providers: { main, backup } };
}

/**
 * Each time the fault comes in the middle of the work, and goes when some more is done, or it has lasted long enough.
 * With `handOver`, agents then go on in the other process.
 */
export function under(
  fault: Fault | null,
  { turns = scale.turns, handOver = false }: { readonly turns?: number; readonly handOver?: boolean } = {},
): ScenarioOptions["work"] {
  return async (crew, next) => {
    const all = turns * Crew.agents;
    const times = fault?.times ?? 0;
    for (let time = 0; time < times; time++) {
      const part = (share: number) => Math.floor((all * (time + share)) / times);
      crew.allow(Math.ceil((turns * (time + 1)) / times));
      await crew.reach(part(0.1 + next() * 0.3));
      const [atLeast, atMost] = (fault as Fault).lastsMs;
      await fault?.begin(crew);
      try {
        const since = performance.now();
        await crew.reaches(part(0.5 + next() * 0.4), atMost);
        // Until the fault has lasted for its time, whatever else happens.
        await crew.reaches(Number.POSITIVE_INFINITY, atLeast - (performance.now() - since));
      } finally {
        await fault?.end(crew);
      }
      if (handOver) await crew.handOver();
    }
    crew.allow(turns);
    await crew.reach(all);
    return {};
  };
}
