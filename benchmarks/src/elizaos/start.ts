import { execFile } from "node:child_process";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { figure } from "../print.ts";
import type { Context, Failure, Goal, Table } from "../report.ts";
import { median } from "../statistics.ts";
import { inTurn, settled } from "./in-turn.ts";
import type { ElizaSystem, Home, Product, Target } from "./system.ts";

/** From the first import to an initialized agent, in processes of their own. */

/** The work of start-child.ts. */
export interface Task {
  readonly product: Product["name"];
  readonly target: Target;
  readonly does: "import" | "start" | "migrate and start";
}

/** Milliseconds. */
export interface StartFigures {
  readonly core: number;
  readonly bootstrap: number;
  /** Import of the package with the adapter, after those two. */
  readonly adapter: number;
  /** The work of plugin-sql's DatabaseMigrationService. */
  readonly migrate: number;
  readonly initialize: number;
  readonly total: number;
  /** The agent was not initialized. */
  readonly error?: string;
}

/** Starts of a system: on an empty database, and again on what that has made. */
export interface Starts {
  readonly id: string;
  readonly title: string;
  readonly way: string;
  readonly isFirst: boolean;
  /** Medians over the repetitions. */
  readonly figures: StartFigures;
}

/** Import of a package in a process that has imported nothing else; median, in milliseconds. */
export interface ImportFigures {
  readonly package: Product["package"];
  readonly milliseconds: number;
}

export interface StartResults {
  readonly starts: readonly Starts[];
  readonly imports: readonly ImportFigures[];
}

/** A process of one repetition: a way to start a system, on a database that is empty or not. */
interface Step {
  readonly way: string;
  readonly does: Task["does"];
  readonly isFirst: boolean;
}

const BARE = "the runtime alone";
const MIGRATED = "migrated first, as AgentServer does";

/**
 * Each list is of starts on one database, which is empty in the beginning. plugin-sql alone needs 7 to 15 s to fail there, which are left
 * out with `--quick`.
 */
function stepsOf({ product }: ElizaSystem, quick: boolean): readonly (readonly Step[])[] {
  const step = (way: string, does: Task["does"], isFirst: boolean): Step => ({ way, does, isFirst });
  if (product.migrate === undefined) return [[step(BARE, "start", true), step(BARE, "start", false)]];
  return [
    ...(quick ? [] : [[step(BARE, "start", true)]]),
    [step(MIGRATED, "migrate and start", true), step(BARE, "start", false), step(MIGRATED, "migrate and start", false)],
  ];
}

export async function measureStarts(
  context: Context,
  systems: readonly ElizaSystem[],
  failures: Failure[],
): Promise<StartResults> {
  const { database, options, progress } = context;
  const products = [...new Set(systems.map(({ product }) => product))];
  const imports = new Map<Product["package"], number[]>(products.map((product) => [product.package, []]));
  const measured = new Map<string, Omit<Starts, "figures"> & { all: StartFigures[] }>();
  // Reads the files of all packages once, which does not count.
  for (const { name } of products) await child({ product: name, target: {}, does: "import" });
  for (let repetition = 0; repetition < options.repetitions; repetition++) {
    for (const product of products) {
      const { adapter } = await child({ product: product.name, target: {}, does: "import" });
      imports.get(product.package)?.push(adapter);
    }
    await inTurn(systems, repetition, failures, async (system) => {
      for (const steps of stepsOf(system, options.quick)) {
        const home = await system.createHome(database);
        try {
          for (const step of steps) {
            await settled(context);
            const figures = await start(system, step, home);
            const key = `${system.id} ${step.way} ${step.isFirst}`;
            const before = measured.get(key)?.all ?? [];
            measured.set(key, { ...step, id: system.id, title: system.title, all: [...before, figures] });
          }
        } finally {
          await home.drop();
        }
      }
      progress(`starts, ${repetition + 1} of ${options.repetitions}: ${system.id}`);
    });
  }
  const isWhole = (id: string) => failures.every(({ system }) => system !== id);
  return {
    starts: [...measured.values()]
      .filter(({ id }) => isWhole(id))
      .sort((one, other) => Number(other.isFirst) - Number(one.isFirst) || place(systems, one) - place(systems, other))
      .map(({ id, title, way, isFirst, all }) => ({ id, title, way, isFirst, figures: medians(all) })),
    imports: [...imports].map(([name, all]) => ({ package: name, milliseconds: median(all) })),
  };
}

function place(systems: readonly ElizaSystem[], { id }: { readonly id: string }): number {
  return systems.findIndex((system) => system.id === id);
}

/** Only plugin-sql alone may fail, on an empty database: that is how it is. */
async function start({ product }: ElizaSystem, { does, isFirst }: Step, { target }: Home): Promise<StartFigures> {
  const figures = await child({ product: product.name, target, does });
  const mayFail = product.migrate !== undefined && does === "start" && isFirst;
  if (figures.error !== undefined && !mayFail) throw new Error(figures.error);
  return figures;
}

const CHILD = fileURLToPath(new URL("../../dist/elizaos/start-child.js", import.meta.url));

async function child(task: Task): Promise<StartFigures> {
  const { PATH, HOME } = process.env;
  const { url } = task.target;
  // plugin-sql takes the lock of its migrator only where this variable has the URL.
  const variables = task.product === "plugin-sql" && url !== undefined ? { POSTGRES_URL: url } : {};
  const env = { PATH, HOME, LOG_LEVEL: "fatal", ...variables };
  // Its own cwd has no .env.
  const args = [CHILD, JSON.stringify(task)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: tmpdir(), env }).catch((error) => {
    const lines = String(error.stderr || error).split("\n");
    throw new Error(`process that starts an agent: ${lines.find((line) => /Error/.test(line)) ?? lines[0]}`);
  });
  return JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as StartFigures;
}

function medians(all: readonly StartFigures[]): StartFigures {
  const of = (name: Exclude<keyof StartFigures, "error">) => median(all.map((one) => one[name]));
  const error = all.find((one) => one.error !== undefined)?.error;
  return {
    ...{ core: of("core"), bootstrap: of("bootstrap"), adapter: of("adapter") },
    ...{ migrate: of("migrate"), initialize: of("initialize"), total: of("total") },
    ...(error !== undefined && { error }),
  };
}

export function tablesOfStarts({ starts, imports }: StartResults): Table[] {
  const table = (isFirst: boolean): Table => ({
    title:
      `Start on ${isFirst ? "an empty database" : "a database that is there"}: ` +
      "a process imports core, bootstrap and the adapter, and initializes an agent; ms",
    head: ["system", "way", "import of core", "of bootstrap", "of the adapter", "migration", "initialize", "all"],
    rows: starts
      .filter((one) => one.isFirst === isFirst)
      .map(({ title, way, figures: { core, bootstrap, adapter, migrate, initialize, total, error } }) => [
        ...[title, way, figure(core), figure(bootstrap), figure(adapter)],
        ...[way === MIGRATED ? figure(migrate) : "–", figure(initialize)],
        error === undefined ? figure(total) : `FAILS after ${figure(total)}: ${error}`,
      ]),
  });
  return [
    table(true),
    table(false),
    {
      title: "Import of the package with the adapter alone; ms",
      head: ["package", "import"],
      rows: imports.map(({ package: name, milliseconds }) => [name, figure(milliseconds)]),
    },
  ];
}

/** PGlite takes 1.5 s to create its database by itself, and is no goal. */
export function goalsOfStarts({ starts }: StartResults, systems: readonly ElizaSystem[]): Goal[] {
  return starts.flatMap(({ id, title, isFirst, figures }): Goal[] => {
    const system = systems.find((one) => one.id === id);
    if (!isFirst || system?.product.name !== "waymark" || system.engine === "PGlite") return [];
    const what = `${title}: seconds from the first import to an initialized agent, on an empty database`;
    return [{ what, measured: figures.total / 1_000, bound: "at most", goal: 1 }];
  });
}
