import Database from "better-sqlite3";

// The tests' own handles and statements are not to become garbage either: see src/handle.ts. The child processes, which
// run the built package, do without this.
const kept: unknown[] = [];
const { prepare } = Database.prototype;
Database.prototype.prepare = function (this: Database.Database, source: string) {
  const statement = prepare.call(this, source);
  kept.push(this, statement);
  return statement;
} as typeof prepare;
Database.prototype.pragma = function (this: Database.Database, source: string, { simple = false } = {}) {
  const statement = this.prepare(`pragma ${source}`);
  if (!statement.reader) return statement.run();
  return simple ? statement.pluck().get() : statement.all();
} as typeof Database.prototype.pragma;
