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
    checkWrites(ledger, databases);
  }
  const findings = ledgers.flatMap((ledger) => ledger.findings);
  for (const { name, items } of databases) {
    for (const agent of items.keys()) {
      if (!journals.has(agent)) findings.push({ count: "wrong", text: `${agent}: nobody's, and in ${name}` });
    }
  }
  const known = new Set(ledgers.flatMap((ledger) => ledger.appendedTo()));
  for (const { name, writes } of databases) {
    for (const id of writes.keys()) {
      if (!known.has(id)) findings.push({ count: "wrong", text: `writes of ${id} are in ${name}, and nobody's` });
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

/** That of what was appended the same has stayed everywhere. */
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

/** What was appended to a checkpoint is with it wherever it is, and nowhere else. */
function checkWrites(ledger: Ledger, databases: readonly Contents[]): void {
  const there = databases.map(({ items }) => new Set(items.get(ledger.agent)?.map(({ id }) => id)));
  for (const [id, { presence, writes }] of ledger.checkpoints) {
    const found = databases.map((database) => database.writes.get(id) ?? new Map<string, string>());
    const isKept = presence !== "gone" && there.some((ids) => ids.has(id));
    for (const name of new Set([...writes.keys(), ...found.flatMap((places) => [...places.keys()])])) {
      const text = `write ${name} of ${id}`;
      const place = writes.get(name) ?? new Place();
      const isNowhere = found.every((places) => !places.has(name));
      if (isKept && isNowhere && place.complaint(null) !== null) {
        ledger.find("lost", `${text} is nowhere`);
        continue;
      }
      for (const [at, database] of databases.entries()) {
        const digest = found[at]?.get(name) ?? null;
        const isHere = presence !== "gone" && there[at]?.has(id);
        if (!isHere && digest !== null)
          ledger.find("wrong", `${text} went with its checkpoint, and is in ${database.name}`);
        const complaint = isHere ? place.complaint(digest) : null;
        if (complaint !== null) ledger.find("wrong", `${text} ${complaint}, in ${database.name}: ${digest}`);
      }
    }
  }
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
