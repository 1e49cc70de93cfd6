import type { Contents, Item } from "./contents.ts";
import type { Entry } from "./journal.ts";
import { type Count, type Finding, Ledger } from "./ledger.ts";

export interface Verdict {
  readonly operations: number;
  readonly acknowledged: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly wrong: number;
  readonly findings: readonly Finding[];
}

/**
 * Holds what agents were told against what is in the databases, when all is healed, drained and reconciled.
 * @param journals of all agents
 * @param databases main first, then the backups
 * @param destroyed acknowledged checkpoints that are nowhere any more, as was told: these, and no others
 */
export function check(
  journals: ReadonlyMap<string, readonly Entry[]>,
  databases: readonly Contents[],
  destroyed: ReadonlySet<string> = new Set(),
): Verdict {
  const ledgers = [...journals].map(([agent, entries]) => Ledger.of(agent, entries));
  for (const ledger of ledgers) {
    for (const [id, checkpoint] of ledger.checkpoints) if (destroyed.has(id)) checkpoint.presence = "gone";
    checkLine(ledger, databases);
  }
  const findings = ledgers.flatMap((ledger) => ledger.findings);
  for (const { name, items } of databases) {
    for (const agent of items.keys()) {
      if (!journals.has(agent)) findings.push({ count: "wrong", text: `${agent}: nobody's, and in ${name}` });
    }
  }
  findings.push(...checkRows(databases));
  const count = (kind: Count) => findings.filter((finding) => finding.count === kind).length;
  return {
    operations: ledgers.reduce((sum, { operations }) => sum + operations, 0),
    acknowledged: ledgers.reduce((sum, { acknowledged }) => sum + acknowledged, 0),
    lost: count("lost"),
    duplicated: count("duplicated"),
    wrong: count("wrong"),
    findings,
  };
}

/** What cannot be seen through a storage: that nothing waits, and that the databases name the same content alike. */
function checkRows(databases: readonly Contents[]): Finding[] {
  const findings: Finding[] = [];
  const digests = new Map<string, string>();
  for (const { name, rows } of databases) {
    const pending = rows.filter(({ isPending }) => isPending).length;
    if (pending > 0) findings.push({ count: "wrong", text: `${name} has ${pending} rows that wait to be sent` });
    for (const { id, digest } of rows) {
      const other = digests.get(id) ?? digest;
      if (other !== digest) findings.push({ count: "wrong", text: `${id} has another digest in ${name}` });
      digests.set(id, digest);
    }
  }
  return findings;
}

function checkLine(ledger: Ledger, databases: readonly Contents[]): void {
  const lines = databases.map(({ name, items }) => ({ name, items: items.get(ledger.agent) ?? [] }));
  const there = lines.map(({ items }) => new Map(items.map((item) => [item.id, item])));
  const all = [...new Set(lines.flatMap(({ items }) => items.map(({ id }) => id)))].sort();

  for (const [id, { turn, digest, presence }] of ledger.checkpoints) {
    const where = lines.filter((_, place) => there[place]?.has(id)).map(({ name }) => name);
    if (presence === "must" && where.length === 0) ledger.find("lost", `${id} (turn ${turn}) is nowhere`);
    if (presence === "gone" && where.length > 0)
      ledger.find("wrong", `${id} (turn ${turn}) was deleted, and is in ${where}`);
    const others = lines.filter((_, place) => ![undefined, digest].includes(there[place]?.get(id)?.digest));
    for (const { name, items } of others) {
      ledger.find(
        "wrong",
        `${id} (turn ${turn}) has another content in ${name}: ${items.find((item) => item.id === id)?.digest}`,
      );
    }
  }
  for (const id of all) {
    const where = lines.filter((_, place) => there[place]?.has(id)).map(({ name }) => name);
    if (where.length < lines.length) ledger.find("wrong", `${id} is in ${where}, and not in the others`);
  }
  for (const { name, items } of lines) checkOrder(ledger, name, items);
  checkStrangers(ledger, all, there);
}

function checkOrder(ledger: Ledger, name: string, items: readonly Item[]): void {
  for (const [place, { id, turn }] of items.entries()) {
    const before = items[place - 1];
    if (before === undefined) continue;
    if (before.id === id) ledger.find("duplicated", `${name} lists ${id} twice`);
    if (before.turn > turn) ledger.find("wrong", `${name} has turn ${turn} after turn ${before.turn}`);
  }
}

/** Ids that no agent knows: each must be of a store without an id whose end is not known, and has that one's content. */
function checkStrangers(ledger: Ledger, all: readonly string[], there: readonly ReadonlyMap<string, Item>[]): void {
  const orphans = new Map(ledger.orphans);
  for (const id of all) {
    if (ledger.checkpoints.has(id)) continue;
    const { turn, digest } = there.flatMap((items) => items.get(id) ?? [])[0] as Item;
    const left = orphans.get(turn) ?? 0;
    orphans.set(turn, left - 1);
    if (ledger.digests.get(turn) !== digest) ledger.find("wrong", `${id} (turn ${turn}) is nobody's`);
    else if (left < 1) ledger.find("duplicated", `turn ${turn} is there once more, as ${id}`);
  }
}
