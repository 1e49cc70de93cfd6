import { parseArgs } from "node:util";
import { DATABASES, type DatabaseName } from "./databases.ts";
import { SYSTEM_IDS } from "./systems/index.ts";

export const WORKLOADS = ["A", "B", "C", "D", "memory", "backup", "langgraph"] as const;
export type WorkloadId = (typeof WORKLOADS)[number];

export interface Options {
  readonly workloads: readonly WorkloadId[];
  readonly databases: readonly DatabaseName[];
  readonly systems: readonly string[];
  /** Lengths of the conversations of workloads A and langgraph, of the first of workload backup, and the turns of the memory check. */
  readonly turns: readonly number[] | undefined;
  readonly repetitions: number;
  /** A folder of JSON files with recorded runs, to be replayed in workloads A and D. */
  readonly transcripts: string | undefined;
  readonly out: string;
  readonly quick: boolean;
  /** Only print what earlier runs have written to `out`. */
  readonly reportOnly: boolean;
}

export const USAGE = `npm run bench -- [options]

  --workload A,B,C,D,memory,backup,langgraph
                                what to measure (default: all)
  --database sqlite,postgres    some of ${DATABASES.join(", ")}; "sqlite" is both (default: all)
  --systems raw,waymark         some of ${SYSTEM_IDS.join(", ")} (default: all)
  --turns 100,300,1000          lengths of the conversations of workloads A, backup and langgraph; turns of the memory check
  --repetitions 3               how often each is measured, in turns with the others
  --transcripts DIR             recorded runs to replay too: JSON files that hold arrays of messages
  --quick                       small sizes, to see that all works; its figures say little
  --out DIR                     where the JSON, the tables and the charts go (default: benchmarks/results)
  --report                      measure nothing, print what is in the folder`;

/** @throws TypeError that names the option */
export function parseOptions(args: readonly string[], resultsFolder: string): Options | "help" {
  const { values } = parseArgs({
    args: [...args],
    options: {
      workload: { type: "string", multiple: true },
      database: { type: "string", multiple: true },
      systems: { type: "string", multiple: true },
      turns: { type: "string", multiple: true },
      repetitions: { type: "string" },
      transcripts: { type: "string" },
      out: { type: "string" },
      quick: { type: "boolean", default: false },
      report: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return "help";
  const { quick } = values;
  const turns = split(values.turns)?.map((text) => count("turns", text));
  return {
    workloads: choose("workload", values.workload, WORKLOADS) ?? WORKLOADS,
    databases: choose("database", expand(split(values.database)), DATABASES) ?? DATABASES,
    systems: choose("systems", values.systems, SYSTEM_IDS) ?? SYSTEM_IDS,
    turns,
    repetitions: values.repetitions === undefined ? (quick ? 1 : 3) : count("repetitions", values.repetitions),
    transcripts: values.transcripts,
    out: values.out ?? (quick ? `${resultsFolder}/quick` : resultsFolder),
    quick,
    reportOnly: values.report,
  };
}

function split(lists: readonly string[] | undefined): string[] | undefined {
  return lists?.flatMap((list) => list.split(",")).map((name) => name.trim());
}

function expand(names: string[] | undefined): string[] | undefined {
  return names?.flatMap((name) => (name === "sqlite" ? ["sqlite-full", "sqlite-normal"] : [name]));
}

function choose<const T extends string>(
  option: string,
  lists: readonly string[] | undefined,
  known: readonly T[],
): T[] | undefined {
  const names = split(lists);
  const unknown = names?.find((name) => !(known as readonly string[]).includes(name));
  if (unknown !== undefined) {
    throw new TypeError(`expected --${option} to name some of ${known.join(", ")}, got ${JSON.stringify(unknown)}`);
  }
  return names && known.filter((name) => names.includes(name));
}

function count(option: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new TypeError(`expected --${option} to be a whole number from 1, got ${JSON.stringify(text)}`);
}
