import { measureCalls, tablesOfCalls } from "../elizaos/calls.ts";
import { elizaRunsOn, elizaSystemsOn } from "../elizaos/index.ts";
import { goalsOfSearches, measureSearches, tablesOfSearches } from "../elizaos/search.ts";
import { measureSizes, tableOfSizes } from "../elizaos/sizes.ts";
import { adapterCalls, goalsOfCalls, messageCalls } from "../elizaos/stage-calls.ts";
import { goalsOfStarts, measureStarts, tablesOfStarts } from "../elizaos/start.ts";
import type { Context, Failure, Outcome, Workload } from "../report.ts";

/**
 * The adapter for ElizaOS beside ElizaOS's own, plugin-sql: how an agent starts, how memories are searched, and what single calls and a
 * message cost.
 */
export const elizaos: Workload = {
  id: "elizaos",
  title: "an agent of ElizaOS",
  runsOn: elizaRunsOn,
  run,
};

const FULL = { sizes: [10_000], searches: 40, calls: 12, deleted: [50, 1_000], turns: 10 };
const QUICK = { sizes: [200], searches: 3, calls: 2, deleted: [50], turns: 2 };

async function run(context: Context): Promise<Outcome> {
  const { database, options } = context;
  const { quick } = options;
  const scale = quick ? QUICK : FULL;
  const chosen = elizaSystemsOn(database.name, options.systems);
  const fast = chosen.filter(({ engine }) => engine !== "PGlite");
  const systems = quick && fast.length > 0 ? fast : chosen;
  const failures: Failure[] = [];
  const sizes = measureSizes();
  const starts = await measureStarts(context, systems, failures);
  const own = adapterCalls(scale.calls, scale.deleted);
  const messages = messageCalls(scale.turns);
  const calls = await measureCalls(context, systems, failures, [...own, ...messages]);
  const searches = await measureSearches(context, systems, options.items ?? scale.sizes, failures, scale.searches);
  return {
    results: { starts, sizes, calls, searches },
    absent: chosen
      .filter((system) => !systems.includes(system))
      .map(({ id, title }) => ({ id, title, absent: `with --quick only if it is all that --systems names` })),
    tables: [
      ...tablesOfStarts(starts),
      tableOfSizes(sizes),
      ...tablesOfCalls("Calls of the adapter, with vectors", own, calls, systems),
      ...tablesOfCalls("Messages to an agent with plugin-bootstrap and a scripted model", messages, calls, systems),
      ...tablesOfSearches(searches, systems),
    ],
    goals: quick
      ? []
      : [
          ...goalsOfStarts(starts, systems),
          ...goalsOfCalls(calls, systems, scale.deleted),
          ...goalsOfSearches(searches, systems),
        ],
    charts: [],
    failures,
  };
}
