import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CheckpointConfig, ProviderConfig } from "@waymark/core";
import { check } from "./checker.ts";
import { type Contents, readContents } from "./contents.ts";
import { Crew } from "./crew.ts";
import type { Defect } from "./faulty-storage.ts";
import { randomNumbers, seedOf } from "./random.ts";
import { PROCESSES, scale } from "./scale.ts";
import { endSessions } from "./sql.ts";
import type { Result } from "./table.ts";

/** Seed of all random choices. With the same seed each agent does the same operations; only their timing differs. */
export const SEED = Number(process.env["WAYMARK_FAULTS_SEED"] ?? Date.now() % 1_000_000);

/** A fault of a database, a network or a process, which begins and ends while agents work. */
export interface Fault {
  readonly title: string;
  readonly times: number;
  /** Least and greatest duration. In between, the fault ends as soon as the agents have made enough progress. */
  readonly lastsMs: readonly [number, number];
  begin(crew: Crew): Promise<void>;
  end(crew: Crew): Promise<void>;
}

export interface Stores {
  /** Main of all processes, or one address of it for each process. */
  readonly mains: readonly ProviderConfig[];
  /** No backup, one that the processes share, or one for each process. */
  readonly backups: readonly ProviderConfig[];
}

export interface ScenarioOptions {
  readonly title: string;
  /** Databases as the processes reach them. */
  readonly stores: Stores;
  /** The same databases, reached without proxies. */
  readonly direct: Stores;
  readonly policy: Omit<CheckpointConfig, "providers">;
  /** Lets the agents work, and makes the fault begin and end meanwhile. */
  work(crew: Crew, next: () => number): Promise<Aftermath>;
  readonly defect?: Defect;
}

export interface Aftermath {
  /** Note that follows the scenario's title in the table. */
  readonly note?: string;
  readonly problems?: readonly string[];
  /** Ids of acknowledged checkpoints that are expected to be lost; no others may be. */
  readonly destroyed?: ReadonlySet<string>;
}

/** Runs a scenario: lets the agents work under the fault, waits until main and backup are equal, and checks the databases. */
export async function runScenario(options: ScenarioOptions): Promise<Result> {
  const { title, stores, direct, policy } = options;
  const folder = await mkdtemp(join(tmpdir(), "waymark-faults-"));
  const seed = seedOf(SEED, title);
  const configs = Array.from({ length: PROCESSES }, (_, place) => configOf(stores, policy, place));
  const crew = new Crew({ configs, folder, seed, ...(options.defect && { defect: options.defect }) });
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
    aftermath = await options.work(crew, randomNumbers(seed));
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
  return { fault: title + (aftermath.note ?? ""), ...counts, problems };
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
 * Returns the work of a scenario with this fault. It begins in the middle of the work, as often as its `times` say, and ends
 * when the agents have made some progress, or when it has lasted long enough. With `handOver`, half of the agents then go on in
 * the other process.
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
      await crew.waitForTurns(part(0.1 + next() * 0.3));
      const [atLeast, atMost] = (fault as Fault).lastsMs;
      await fault?.begin(crew);
      try {
        const since = performance.now();
        await crew.reachesTurns(part(0.5 + next() * 0.4), atMost);
        // Waits until the fault has lasted for its least duration.
        await crew.reachesTurns(Number.POSITIVE_INFINITY, atLeast - (performance.now() - since));
      } finally {
        await fault?.end(crew);
      }
      if (handOver) await crew.handOver();
    }
    crew.allow(turns);
    await crew.waitForTurns(all);
    return {};
  };
}
