import Table from "cli-table3";
import type { Goal, Report } from "./report.ts";

/** Prints a report for a terminal; as it is Markdown, it can be pasted into an issue. */
export function printed(report: Report): string {
  const { workload, title, database, machine, repetitions, quick, tables, goals, absent, failures } = report;
  const lines = [
    `## ${workload}: ${title} – ${database.title}`,
    "",
    `${database.isDurable ? "Durable" : "NOT DURABLE"}: ${database.durability}. The same for all systems.`,
    `Node ${machine["node"]}, ${machine["cores"]} x ${machine["cpu"]}; ${repetitions} repetitions, interleaved; medians.`,
    ...(quick ? ["Quick: small sizes; these figures say little."] : []),
  ];
  for (const { title: heading, head, rows } of tables) lines.push("", heading, "", table(head, rows));
  const missing = [
    ...absent.map(({ title: name, absent: reason }) => `${name}: ${reason}`),
    ...failures.map(({ system, reason }) => `${system}: FAILED: ${reason}`),
  ];
  if (missing.length > 0) lines.push("", "Not measured:", ...missing.map((line) => `  ${line}`));
  if (goals.length > 0) lines.push("", "Goals:", ...goals.map((goal) => `  ${line(goal)}`));
  return `${lines.join("\n")}\n`;
}

export function isMet({ measured, bound, goal }: Goal): boolean {
  return bound === "at most" ? measured <= goal : measured >= goal;
}

function line(goal: Goal): string {
  return `${isMet(goal) ? "met   " : "MISSED"}  ${goal.what}: ${figure(goal.measured)} (${goal.bound} ${figure(goal.goal)})`;
}

/** Writes a number with three significant digits. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toLocaleString("en-US", { maximumFractionDigits: Math.min(digits, 4) });
}

/** Writes a number of bytes as in "1.7 kB"; 1 kB is 1,000 bytes. */
export function bytes(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (value >= 1e9) return `${figure(value / 1e9)} GB`;
  return value >= 1e6 ? `${figure(value / 1e6)} MB` : `${figure(value / 1e3)} kB`;
}

/** Writes a table as Markdown. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const bar = { left: "|", right: "|", middle: "|" };
  const none = { top: "", "top-mid": "", "top-left": "", "top-right": "", bottom: "", "bottom-mid": "" };
  const rest = { "bottom-left": "", "bottom-right": "", mid: "", "left-mid": "", "mid-mid": "", "right-mid": "" };
  const grid = new Table({
    head: [...head],
    chars: { ...none, ...rest, ...bar },
    colAligns: head.map((_, column) => (column === 0 ? "left" : "right")),
    style: { head: [], border: [] },
  });
  const separator = head.map((_, column) => (column === 0 ? "---" : "--:"));
  grid.push(separator, ...rows.map((row) => [...row]));
  return grid.toString();
}
