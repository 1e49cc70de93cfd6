import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { missingIn } from "./against.ts";
import { DATABASES, type DatabaseName } from "./databases.ts";
import { ELIZA_SYSTEM_IDS } from "./elizaos/index.ts";
import { RECALL_SYSTEM_IDS } from "./recall/index.ts";
import { missingIn as missingInCranfield } from "./relevance/cranfield.ts";
import { SYSTEM_IDS } from "./systems/index.ts";

export const WORKLOADS = [
  ...(["A", "B", "C", "D", "memory", "backup"] as const),
  ...(["langgraph", "sends", "recall", "relevance", "elizaos"] as const),
] as const;
export type WorkloadId = (typeof WORKLOADS)[number];

const ALL_SYSTEMS = [...new Set([...SYSTEM_IDS, ...RECALL_SYSTEM_IDS, ...ELIZA_SYSTEM_IDS])];

export interface Options {
  readonly workloads: readonly WorkloadId[];
  readonly databases: readonly DatabaseName[];
  readonly systems: readonly string[];
  /** Lengths of the conversations of workloads A and langgraph, of the first of workload backup, and the turns of the memory check. */
  readonly turns: readonly number[] | undefined;
  readonly repetitions: number;
  /** Sizes of the owners that workload recall searches, and the items of others beside them; memories of workload elizaos. */
  readonly items: readonly number[] | undefined;
  readonly others: number | undefined;
  /** A folder of JSON files with recorded runs, to be replayed in workloads A and D. */
  readonly transcripts: string | undefined;
  /** The folder of the Cranfield collection, for workload relevance. */
  readonly cranfield: string | undefined;
  /** The folder of another checkout that has been built; Waymark is measured from there too. */
  readonly against: string | undefined;
  readonly out: string;
  readonly quick: boolean;
  /** Only print what earlier runs have written to `out`. */
  readonly reportOnly: boolean;
}

export const USAGE = `npm run bench -- [options]

  --workload A,B,C,D,memory,backup,langgraph,sends,recall,relevance,elizaos
                                what to measure (default: all)
  --database sqlite,postgres    some of ${DATABASES.join(", ")}; "sqlite" is both (default: all)
  --systems raw,waymark         some of ${ALL_SYSTEMS.join(", ")} (default: all)
  --turns 100,300,1000          lengths of the conversations of workloads A, backup and langgraph; turns of the memory check
  --items 1000,10000            how much workloads recall and elizaos search (100,000 takes long)
  --others 100000               items of other owners beside those of workload recall
  --repetitions 3               how often each is measured, in turns with the others (default: 3, or 4 with --against)
  --transcripts DIR             recorded runs to replay too: JSON files that hold arrays of messages
  --cranfield DIR               the files of github.com/akhileshravikumar/cranfield-trec-dataset, for workload relevance
  --against DIR                 compares with another checkout, which has been built: workloads A, B and langgraph measure
                                Waymark from there too, in the same run
  --quick                       small sizes, to see that all works; its figures say little
  --out DIR                     where the JSON, the tables and the charts go (default: benchmarks/results, or its folder quick or against)
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
      items: { type: "string", multiple: true },
      others: { type: "string" },
      repetitions: { type: "string" },
      transcripts: { type: "string" },
      cranfield: { type: "string" },
      against: { type: "string" },
      out: { type: "string" },
      quick: { type: "boolean", default: false },
      report: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return "help";
  const { quick } = values;
  const against = values.against === undefined ? undefined : checkout("against", values.against);
  const ownFolder = quick ? "/quick" : against === undefined ? "" : "/against";
  // With another checkout an even number: of its systems and ours, each goes first as often as the other.
  const repetitions = quick ? 1 : against === undefined ? 3 : 4;
  const turns = split(values.turns)?.map((text) => count("turns", text));
  return {
    workloads: choose("workload", values.workload, WORKLOADS) ?? WORKLOADS,
    databases: choose("database", expand(split(values.database)), DATABASES) ?? DATABASES,
    systems: choose("systems", values.systems, ALL_SYSTEMS) ?? ALL_SYSTEMS,
    turns,
    items: split(values.items)?.map((text) => count("items", text)),
    others: values.others === undefined ? undefined : count("others", values.others),
    repetitions: values.repetitions === undefined ? repetitions : count("repetitions", values.repetitions),
    transcripts: values.transcripts,
    cranfield: values.cranfield === undefined ? undefined : cranfield("cranfield", values.cranfield),
    against,
    out: values.out ?? `${resultsFolder}${ownFolder}`,
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

function checkout(option: string, folder: string): string {
  const missing = missingIn(resolve(folder));
  if (missing === undefined) return resolve(folder);
  throw new TypeError(
    `expected --${option} to name a checkout of this repository that has been built, got ${JSON.stringify(folder)}, which has no ${missing}`,
  );
}

function cranfield(option: string, folder: string): string {
  const missing = missingInCranfield(folder);
  if (missing === undefined) return folder;
  throw new TypeError(
    `expected --${option} to name a folder with the Cranfield collection, got ${JSON.stringify(folder)}, which has no ${missing}`,
  );
}
