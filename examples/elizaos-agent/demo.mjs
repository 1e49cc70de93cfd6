// Runs a conversation, in a process for each message, on a database that is removed at the end.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const folder = mkdtempSync(join(tmpdir(), "waymark-elizaos-"));
const env = {
  ...process.env,
  WAYMARK_URL: process.env.WAYMARK_URL ?? `sqlite:${join(folder, "agents.db")}`,
  LOG_LEVEL: "fatal",
};

function chat(text) {
  console.log(`$ node chat.mjs ${JSON.stringify(text)}`);
  execFileSync(process.execPath, ["chat.mjs", text], { cwd: import.meta.dirname, env, stdio: "inherit" });
}

try {
  chat("My sister Nora lives in Lisbon.");
  chat("Our dog is called Rex.");
  console.log("\nThe processes have ended. Other ones:\n");
  chat("Where does Nora live?");
  chat("What is the dog called?");
  chat("Which train goes to Vienna?");
} finally {
  rmSync(folder, { recursive: true });
}
