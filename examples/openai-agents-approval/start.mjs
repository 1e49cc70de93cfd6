// Runs both processes, one after the other, on a new ticket: `npm start`, or `npm start -- reject`.

import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";

const ticket = `ticket-${randomUUID()}`;
console.log(ticket);
node("ask.mjs", ticket);
node("decide.mjs", ticket, ...process.argv.slice(2));

function node(script, ...args) {
  console.log(`\nnode ${script}`);
  const file = fileURLToPath(new URL(script, import.meta.url));
  const { status } = spawnSync(process.execPath, [file, ...args], { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}
