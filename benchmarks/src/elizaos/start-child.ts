// A process as of an application, for start.ts: node start-child.js '{"product":…,"target":…,"does":…}'. It prints its figures as JSON.

import { createRuntime, importBootstrap, importEliza } from "./agent.ts";
import { pluginSql } from "./plugin-sql.ts";
import type { StartFigures, Task } from "./start.ts";
import { waymark } from "./waymark.ts";

const task = JSON.parse(process.argv[2] ?? "") as Task;
const product = task.product === "waymark" ? waymark : pluginSql;
const begin = performance.now();
let last = begin;

/** Milliseconds since it was called before. */
function lap(): number {
  const before = last;
  last = performance.now();
  return last - before;
}

if (task.does === "import") {
  await product.load();
  print({ adapter: lap() });
} else {
  await start();
}
process.exit(); // ElizaOS has timers of half a minute

async function start(): Promise<void> {
  const eliza = await importEliza();
  const core = lap();
  await importBootstrap();
  const bootstrap = lap();
  await product.load();
  const adapter = lap();
  const agentId = eliza.stringToUuid("agent");
  if (task.does === "migrate and start") await product.migrate?.(task.target, agentId);
  const migrate = lap();
  const runtime = await createRuntime(eliza, product, task.target, agentId);
  const figures = (): StartFigures => ({
    ...{ core, bootstrap, adapter, migrate, initialize: lap(), total: last - begin },
  });
  try {
    await runtime.initialize();
  } catch (error) {
    print({ ...figures(), error: reasonOf(error) });
    return;
  }
  const measured = figures();
  await runtime.stop();
  await runtime.close();
  print(measured);
}

/** The database's own words. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : reasonOf(error.cause);
}

function print(figures: Partial<StartFigures>): void {
  process.stdout.write(`\n${JSON.stringify(figures)}\n`);
}
