import type { Contents, Item } from "./contents.ts";
import type { Entry } from "./journal.ts";
import { type Count, type Finding, Ledger } from "./ledger.ts";
import { Place, placeOf } from "./writes.ts";

export interface Verdict {
  readonly operations: number;
  readonly acknowledged: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly wrong: number;
  readonly findings: readonly Finding[];
}

/**
 * Compares the answers that agents got with the contents of the databases, after the fault is healed, the outboxes are drained
 * and main and backup are reconciled.
 * @param journals journals of all agents
 * @param databases main first, then the backups
 * @param destroyed ids of acknowledged checkpoints that are expected to be lost; no others may be
 */
export function check(
  journals: ReadonlyMap<string, readonly Entry[]>,
  databases: readonly Contents[],
  destroyed: ReadonlySet<string> = new Set(),
): Verdict {
  const ledgers = [...journals].map(([agent, entries]) => Ledger.of(agent, entries));
  for (const ledger of ledgers) {
    for (const [id, checkpoint] of ledger.checkpoints) if (destroyed.has(id)) checkpoint.presence = "gone";
    checkTimeline(ledger, databases);
    checkWrites(ledger, databases);
  }
  const findings = ledgers.flatMap((ledger) => ledger.findings);
  for (const { name, items } of databases) {
    for (const agent of items.keys()) {
      if (!journals.has(agent))
        findings.push({ count: "wrong", text: `${agent}: is in ${name}, but no such agent has run` });
    }
  }
  const known = new Set(ledgers.flatMap((ledger) => ledger.idsWithWrites()));
  for (const { name, writes } of databases) {
    for (const id of writes.keys()) {
      if (!known.has(id))
        findings.push({ count: "wrong", text: `writes of ${id} are in ${name}, but no agent appended to it` });
    }
  }
  findings.push(...checkRows(databases), ...checkWriteRows(databases));
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

/** Checks the rows themselves: none is pending, and a row has the same digest in all databases. */
function checkRows(databases: readonly Contents[]): Finding[] {
  const findings: Finding[] = [];
  const digests = new Map<string, string>();
  for (const { name, rows } of databases) {
    const pending = rows.filter(({ isPending }) => isPending).length;
    if (pending > 0) findings.push({ count: "wrong", text: `${name} has ${pending} pending rows` });
    for (const { id, digest } of rows) {
      const other = digests.get(id) ?? digest;
      if (other !== digest) findings.push({ count: "wrong", text: `${id} has another digest in ${name}` });
      digests.set(id, digest);
    }
  }
  return findings;
}

/** Checks that the same writes were kept in all databases. */
function checkWriteRows(databases: readonly Contents[]): Finding[] {
  const versions = databases.map(
    ({ writeRows }) => new Map(writeRows.map((row) => [`${row.checkpointId} ${placeOf(row)}`, row.version])),
  );
  const [first = new Map<string, string>(), ...others] = versions;
  return others.flatMap((other, place) => {
    const differing = [...new Set([...first.keys(), ...other.keys()])].filter(
      (key) => first.get(key) !== other.get(key),
    );
    const names = `${databases[0]?.name} and ${databases[place + 1]?.name}`;
    return differing.map((key): Finding => ({ count: "wrong", text: `write ${key}: ${names} differ` }));
  });
}

function checkTimeline(ledger: Ledger, databases: readonly Contents[]): void {
  const timelines = databases.map(({ name, items }) => ({ name, items: items.get(ledger.agent) ?? [] }));
  const there = timelines.map(({ items }) => new Map(items.map((item) => [item.id, item])));
  const all = [...new Set(timelines.flatMap(({ items }) => items.map(({ id }) => id)))].sort();

  for (const [id, { turn, digest, presence }] of ledger.checkpoints) {
    const where = timelines.filter((_, place) => there[place]?.has(id)).map(({ name }) => name);
    if (presence === "must" && where.length === 0) ledger.addFinding("lost", `${id} (turn ${turn}) is in no database`);
    if (presence === "gone" && where.length > 0)
      ledger.addFinding("wrong", `${id} (turn ${turn}) was deleted, but is in ${where}`);
    const others = timelines.filter((_, place) => ![undefined, digest].includes(there[place]?.get(id)?.digest));
    for (const { name, items } of others) {
      ledger.addFinding(
        "wrong",
        `${id} (turn ${turn}) has other content in ${name}: ${items.find((item) => item.id === id)?.digest}`,
      );
    }
  }
  for (const id of all) {
    const where = timelines.filter((_, place) => there[place]?.has(id)).map(({ name }) => name);
    if (where.length < timelines.length) ledger.addFinding("wrong", `${id} is in ${where}, but not in the others`);
  }
  for (const { name, items } of timelines) checkOrder(ledger, name, items);
  checkUnknownIds(ledger, all, there);
}

/** Checks that each database that has a checkpoint has its writes too, and that no other has them. */
function checkWrites(ledger: Ledger, databases: readonly Contents[]): void {
  const there = databases.map(({ items }) => new Set(items.get(ledger.agent)?.map(({ id }) => id)));
  for (const [id, { presence, writes }] of ledger.checkpoints) {
    const found = databases.map((database) => database.writes.get(id) ?? new Map<string, string>());
    const isKept = presence !== "gone" && there.some((ids) => ids.has(id));
    for (const name of new Set([...writes.keys(), ...found.flatMap((places) => [...places.keys()])])) {
      const text = `write ${name} of ${id}`;
      const place = writes.get(name) ?? new Place();
      const isNowhere = found.every((places) => !places.has(name));
      if (isKept && isNowhere && place.problemWith(null) !== null) {
        ledger.addFinding("lost", `${text} is in no database`);
        continue;
      }
      for (const [at, database] of databases.entries()) {
        const digest = found[at]?.get(name) ?? null;
        const isHere = presence !== "gone" && there[at]?.has(id);
        if (!isHere && digest !== null)
          ledger.addFinding("wrong", `${text} was deleted with its checkpoint, but is in ${database.name}`);
        const problem = isHere ? place.problemWith(digest) : null;
        if (problem !== null) ledger.addFinding("wrong", `${text} ${problem}, in ${database.name}: ${digest}`);
      }
    }
  }
}

function checkOrder(ledger: Ledger, name: string, items: readonly Item[]): void {
  for (const [place, { id, turn }] of items.entries()) {
    const before = items[place - 1];
    if (before === undefined) continue;
    if (before.id === id) ledger.addFinding("duplicated", `${name} lists ${id} twice`);
    if (before.turn > turn) ledger.addFinding("wrong", `${name} has turn ${turn} after turn ${before.turn}`);
  }
}

/**
 * Checks the ids that no agent knows. Each must come from a store without an id that failed, and have the content of that store.
 */
function checkUnknownIds(ledger: Ledger, all: readonly string[], there: readonly ReadonlyMap<string, Item>[]): void {
  const orphans = new Map(ledger.orphans);
  for (const id of all) {
    if (ledger.checkpoints.has(id)) continue;
    const { turn, digest } = there.flatMap((items) => items.get(id) ?? [])[0] as Item;
    const left = orphans.get(turn) ?? 0;
    orphans.set(turn, left - 1);
    if (ledger.digests.get(turn) !== digest) ledger.addFinding("wrong", `${id} (turn ${turn}) was stored by no agent`);
    else if (left < 1) ledger.addFinding("duplicated", `turn ${turn} is stored a second time, as ${id}`);
  }
}
