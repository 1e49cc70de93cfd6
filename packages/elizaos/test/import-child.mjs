// A process that imports, and is killed in the middle of the memories: between two steps of a batch, not after it.

import { importPluginSql } from "@waymark/elizaos";

const { from, to } = JSON.parse(process.argv[2]);
await importPluginSql({
  from,
  to,
  batch: 5,
  onProgress({ table, done }) {
    if (table === "memories" && done >= 15) setImmediate(() => process.kill(process.pid, "SIGKILL"));
  },
});
