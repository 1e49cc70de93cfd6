// The seams of ARCHITECTURE.md, section 3, and what STYLE asks to keep out of where it does not belong, as tables.
//
// Paths begin in packages/; `*` is a part of a path, `**` any number of parts, `{a,b}` one of them.

const drivers = { sqlite: ["better-sqlite3"], postgres: ["postgres"], mysql: ["mysql2", "mysql2/**"] };
const names = { sqlite: ["sqlite"], postgres: ["postgres"], mysql: ["mysql", "mariadb"] };
const dialects = Object.keys(drivers);
const drizzle = ["drizzle-orm", "drizzle-orm/**"];

const contract = ["core/src/contract.ts", "core/src/errors.ts", "core/src/checks.ts"];
const configuration = ["core/src/registry.ts", "core/src/config.ts"];

/**
 * What a module may import: the first row that covers it counts, and each module needs one. `type:` allows types only,
 * which leave nothing behind at run time.
 */
export const IMPORTS = [
  { module: "core/src/contract.ts", may: [] },
  { module: "core/src/dialect.ts", may: [] },
  { module: "core/src/errors.ts", may: [] },
  { module: "core/src/codec/**", may: ["core/src/codec/**", "node:**"] },
  { module: "core/src/{registry,config}.ts", may: [...contract, ...configuration] },
  { module: "core/src/open.ts", may: [...contract, ...configuration, "c12", "node:**"] },
  { module: "core/src/{index,dialect-kit}.ts", may: ["core/src/*.ts"] },
  // The parts of storage.ts that know rows and states, and nothing of each other but what they are made of.
  {
    module: "core/src/chains.ts",
    may: ["core/src/codec/snapshots.ts", "type:core/src/codec/delta.ts", "type:core/src/dialect.ts"],
  },
  { module: "core/src/state-cache.ts", may: ["type:core/src/chains.ts"] },
  { module: "core/src/store-queue.ts", may: ["core/src/dialect.ts"] },
  {
    module: "core/src/removal.ts",
    may: ["core/src/chains.ts", "type:core/src/codec/snapshots.ts", "type:core/src/dialect.ts"],
  },
  {
    module: "core/src/*.ts", // storage.ts and its other parts
    may: [
      ...contract,
      "core/src/{dialect,dialect-session,opening,migrations}.ts",
      "core/src/{storage,arguments,ids,options,prune}.ts",
      "core/src/{chains,removal,state-cache,store-queue}.ts",
      "core/src/codec/**",
      "cockatiel",
      "node:**",
    ],
  },

  ...dialects.flatMap((dialect) => [
    { module: `${dialect}/src/schema.ts`, may: ["drizzle-orm", "drizzle-orm/*-core"] },
    {
      module: `${dialect}/src/statements.ts`,
      may: [`${dialect}/src/schema.ts`, ...drizzle, "type:@waymark/core", "type:@waymark/core/*"],
    },
    { module: `${dialect}/src/index.ts`, may: [`${dialect}/src/**`, "@waymark/core", "@waymark/core/*"] },
    {
      module: `${dialect}/src/**`,
      may: [`${dialect}/src/**`, "@waymark/core", "@waymark/core/*", ...drivers[dialect], ...drizzle, "node:**"],
    },
  ]),

  {
    module: "conformance/src/**",
    may: ["conformance/src/**", "type:@waymark/core", "vitest", "fast-check", "node:**"],
  },
];

/** What stays out of the code of `src`, comments aside, and where it may be all the same. */
export const WORDS = [
  ...dialects.map((dialect) => ({
    what: `the name of the dialect ${dialect}`,
    mentions: new RegExp(names[dialect].join("|"), "i"),
    allowedIn: [`${dialect}/src/**`, "core/src/open.ts"],
  })),
  { what: "process.env", member: "process.env", allowedIn: ["cli/src/**", "core/src/open.ts", "conformance/src/**"] },
  { what: "console", member: "console.*", allowedIn: ["cli/src/**"] },
  { what: "the type any", node: "TSAnyKeyword", allowedIn: [] },
  { what: "new Error, where a CheckpointError is due", constructed: "Error", allowedIn: [] },
];
