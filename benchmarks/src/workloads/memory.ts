import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { bytes, figure } from "../print.ts";
import type { Context, Outcome, Workload } from "../report.ts";

/** The memory that storing takes: a program that stores, and the same one that does not. */
export const memory: Workload = {
  id: "memory",
  title: "memory of 50 agents with states of 1 MB",
  runsOn: (database) => database === "sqlite-full",
  run,
};

const TURNS = 10_000;
const QUICK_TURNS = 200;

/** The output of memory-child.ts; bytes of resident memory. */
export interface MemoryFigures {
  readonly peak: number;
  readonly final: number;
  readonly seconds: number;
  readonly compared: number;
  /** Taken at even distances, some 50 in all. */
  readonly samples: readonly number[];
}

async function run({ database, options, progress }: Context): Promise<Outcome> {
  const turns = options.turns?.[0] ?? (options.quick ? QUICK_TURNS : TURNS);
  const place = await database.createPlace();
  if (place.kind !== "sqlite") throw new Error(`expected SQLite, got ${place.kind}`);
  try {
    const child = async (mode: "storing" | "idle"): Promise<MemoryFigures> => {
      const script = fileURLToPath(new URL("memory-child.js", import.meta.url));
      const { stdout } = await promisify(execFile)(process.execPath, [script, mode, place.path, String(turns)]);
      const figures = JSON.parse(stdout) as MemoryFigures;
      progress(`${mode}: peak ${bytes(figures.peak)}, ${figure(figures.seconds)} s`);
      return figures;
    };
    const idle = await child("idle");
    const storing = await child("storing");
    const onDisk = await place.bytesOnDisk();
    const row = (title: string, { peak, final, seconds }: MemoryFigures) => [
      title,
      bytes(peak),
      bytes(final),
      figure(seconds),
    ];
    return {
      results: { turns, idle, storing, onDisk },
      tables: [
        {
          title: `Resident memory of a process, ${turns} turns; ${bytes(onDisk)} on disk in the end`,
          head: ["the program", "peak", "final", "seconds"],
          rows: [
            row("without storing", idle),
            row("with storing", storing),
            ["difference", bytes(storing.peak - idle.peak), bytes(storing.final - idle.final), ""],
          ],
        },
      ],
      goals: [
        {
          what: "MB of resident memory more, peak",
          measured: (storing.peak - idle.peak) / 1e6,
          bound: "at most",
          goal: 100,
        },
        {
          what: "MB of resident memory more, final",
          measured: (storing.final - idle.final) / 1e6,
          bound: "at most",
          goal: 100,
        },
      ],
      charts: [],
      failures: [],
    };
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split("\n").at(-1) ?? "") : String(error);
    return { results: [], tables: [], goals: [], charts: [], failures: [{ system: "waymark", reason }] };
  } finally {
    await place.drop();
  }
}
