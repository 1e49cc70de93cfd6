import { fileURLToPath } from "node:url";
import { isElizaPeer } from "./elizaos/index.ts";
import { type Options, parseOptions, USAGE } from "./options.ts";
import { printed } from "./print.ts";
import { isRecallPeer } from "./recall/index.ts";
import { readReports, writeReport } from "./report.ts";
import { measure } from "./run.ts";
import { isPeer } from "./systems/index.ts";

// Tables go to the output, everything else to the error stream, so that `> tables.md` keeps the tables alone.
const options = readOptions();
if (options === "help") console.log(USAGE);
else if (options.reportOnly) for (const report of readReports(options.out)) console.log(printed(report));
else if (!(await run(options))) process.exitCode = 1;

function readOptions(): Options | "help" {
  try {
    return parseOptions(process.argv.slice(2), fileURLToPath(new URL("../results", import.meta.url)));
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
    process.exit(2);
  }
}

/** Returns `true` if all of ours ran. A peer that failed is named below the tables; it is no fault of ours. */
async function run(chosen: Options): Promise<boolean> {
  let failures = 0;
  for await (const { report, charts } of measure(chosen, (line) => console.error(line))) {
    writeReport(chosen.out, report, charts);
    console.log(printed(report));
    const isOfOthers = (id: string) => isPeer(id) || isRecallPeer(id) || isElizaPeer(id);
    failures += report.failures.filter(({ system }) => !isOfOthers(system)).length;
  }
  console.error(`The reports are in ${chosen.out}`);
  return failures === 0;
}
