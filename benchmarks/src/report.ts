import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem, type } from "node:os";
import { join } from "node:path";
import type { Checkout } from "./against.ts";
import type { Database, DatabaseName } from "./databases.ts";
import { type Options, WORKLOADS, type WorkloadId } from "./options.ts";
import type { Absent, System } from "./systems/system.ts";

/** A table as it is printed and kept. */
export interface Table {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** A figure beside the bound that the project has set itself for it. */
export interface Goal {
  readonly what: string;
  readonly measured: number;
  readonly bound: "at most" | "at least";
  readonly goal: number;
}

/** A picture to be written beside the report. */
export interface Chart {
  readonly name: string;
  readonly svg: string;
}

/** The result of a workload on one database. */
export interface Outcome {
  /** All figures. The tables, the goals and the charts are made from them. */
  readonly results: unknown;
  readonly tables: readonly Table[];
  readonly goals: readonly Goal[];
  readonly charts: readonly Chart[];
  /** Systems that do not run here, for a workload that has systems of its own. */
  readonly absent?: readonly Absent[];
  /** Systems that did not run to the end, or that gave back something else than was stored. */
  readonly failures: readonly Failure[];
}

export interface Failure {
  readonly system: string;
  readonly reason: string;
}

/** The things that a workload runs with. */
export interface Context {
  readonly database: Database;
  readonly systems: readonly System[];
  readonly absent: readonly Absent[];
  readonly options: Options;
  /** The checkout that this one is compared with. */
  readonly against: Checkout | undefined;
  progress(line: string): void;
}

export interface Workload {
  readonly id: WorkloadId;
  readonly title: string;
  runsOn(database: DatabaseName): boolean;
  run(context: Context): Promise<Outcome>;
}

/** One run of one workload on one database, as it is written to the results. */
export interface Report extends Omit<Outcome, "charts"> {
  readonly workload: WorkloadId;
  readonly title: string;
  readonly date: string;
  readonly quick: boolean;
  readonly repetitions: number;
  readonly command: string;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly database: {
    readonly name: string;
    readonly title: string;
    readonly durability: string;
    readonly isDurable: boolean;
  };
  readonly versions: Readonly<Record<string, string>>;
  readonly absent: readonly Absent[];
}

const PEERS = [
  "better-sqlite3",
  "postgres",
  "mysql2",
  "drizzle-orm",
  "@langchain/langgraph",
  "@langchain/langgraph-checkpoint",
  "@langchain/langgraph-checkpoint-sqlite",
  "@langchain/langgraph-checkpoint-postgres",
  "sqlite-vec",
  "@mastra/core",
  "@mastra/libsql",
  "@mastra/pg",
  "@mastra/mysql",
  "@elizaos/core",
  "@elizaos/plugin-sql",
  "@electric-sql/pglite",
  "@waymark/core",
];

export function reportOf(workload: Workload, context: Context, outcome: Outcome): Report {
  const { database, options, absent } = context;
  const { results, tables, goals, failures } = outcome;
  return {
    workload: workload.id,
    title: workload.title,
    date: new Date().toISOString(),
    quick: options.quick,
    repetitions: options.repetitions,
    command: ["npm run bench --", ...process.argv.slice(2)].join(" "),
    machine: {
      node: process.versions.node,
      cpu: cpus()[0]?.model ?? "unknown",
      cores: cpus().length,
      memoryGB: Math.round(totalmem() / 1e9),
      system: `${type()} ${release()}`,
    },
    database: {
      name: database.name,
      title: database.title,
      durability: database.durability,
      isDurable: database.isDurable,
    },
    versions: Object.fromEntries(PEERS.map((name) => [name, versionOf(name)])),
    absent: outcome.absent ?? absent,
    tables,
    goals,
    failures,
    results,
  };
}

export function writeReport(folder: string, report: Report, charts: readonly Chart[]): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, `${report.workload}-${report.database.name}.json`),
    `${JSON.stringify(report, null, 1)}\n`,
  );
  for (const { name, svg } of charts) writeFileSync(join(folder, `${name}.svg`), svg);
}

export function readReports(folder: string): Report[] {
  const files = readdirSync(folder).filter(
    (name) => name.endsWith(".json") && WORKLOADS.some((workload) => name.startsWith(`${workload}-`)),
  );
  return files.sort().map((name) => JSON.parse(readFileSync(join(folder, name), "utf8")) as Report);
}

function versionOf(name: string): string {
  const manifest = new URL(`../node_modules/${name}/package.json`, import.meta.url);
  return (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;
}
