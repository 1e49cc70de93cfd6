import Database from "better-sqlite3";

// A setup file of vitest: `project({ sqlite: true })` in vitest.project.ts.
//
// It keeps handles and statements of tests from being garbage-collected. Since Node 24.19, better-sqlite3 12 ends the process if
// one of its objects is collected while no JavaScript runs (https://github.com/WiseLibs/better-sqlite3/issues/1515).
// Child processes of tests run the built packages, and do not load this file.
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
