import { importCheckout } from "./against.ts";
import { type Database, openDatabase } from "./databases.ts";
import type { Options } from "./options.ts";
import { type Chart, type Context, type Report, reportOf, type Workload } from "./report.ts";
import { systemsOn } from "./systems/index.ts";
import { backup } from "./workloads/backup.ts";
import { conversation } from "./workloads/conversation.ts";
import { edits } from "./workloads/edits.ts";
import { elizaos } from "./workloads/elizaos.ts";
import { langgraphGraphs } from "./workloads/langgraph.ts";
import { memory } from "./workloads/memory.ts";
import { recall } from "./workloads/recall.ts";
import { relevance } from "./workloads/relevance.ts";
import { rows } from "./workloads/rows.ts";
import { sends } from "./workloads/sends.ts";
import { smallStates } from "./workloads/small-states.ts";

const ALL: readonly Workload[] = [
  ...[conversation, smallStates, rows, edits, memory, backup, langgraphGraphs, sends],
  ...[recall, relevance, elizaos],
];

/** Runs the chosen workloads, database by database, and yields a report for each workload on each database. */
export async function* measure(
  options: Options,
  progress: (line: string) => void,
): AsyncGenerator<{ report: Report; charts: readonly Chart[] }> {
  const against = options.against === undefined ? undefined : await importCheckout(options.against);
  const workloads = ALL.filter(({ id }) => options.workloads.includes(id));
  for (const name of options.databases) {
    const due = workloads.filter((workload) => workload.runsOn(name));
    if (due.length === 0) continue;
    let database: Database;
    try {
      database = await openDatabase(name);
    } catch (error) {
      progress(`! ${name} is left out: ${error instanceof Error ? error.message : error}`);
      continue;
    }
    try {
      if (!database.isDurable && name !== "sqlite-normal")
        progress(`! ${database.title} is not durable: ${database.durability}`);
      for (const workload of due) {
        progress(`${workload.id}: ${workload.title}, ${database.title}`);
        const context: Context = {
          ...{ database, options, against, progress },
          ...systemsOn(name, options.systems, against),
        };
        const outcome = await workload.run(context);
        yield { report: reportOf(workload, context, outcome), charts: outcome.charts };
      }
    } finally {
      await database.stop();
    }
  }
}
