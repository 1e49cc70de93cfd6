// The seams of ARCHITECTURE.md, section 3, and what STYLE asks to keep out of where it does not belong, as tables.
//
// Paths begin in packages/; `*` is a part of a path, `**` any number of parts, `{a,b}` one of them.

const drivers = { sqlite: ["better-sqlite3"], postgres: ["postgres"], mysql: ["mysql2", "mysql2/**"] };
const names = { sqlite: ["sqlite"], postgres: ["postgres"], mysql: ["mysql", "mariadb"] };
const dialects = Object.keys(drivers);
const drizzle = ["drizzle-orm", "drizzle-orm/**"];

const contract = ["core/src/contract.ts", "core/src/errors.ts", "core/src/checks.ts"];
const configuration = ["core/src/registry.ts", "core/src/config.ts", "core/src/replication/policy.ts"];

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
  {
    module: "core/src/open.ts",
    may: [...contract, ...configuration, "core/src/replication/replicated-storage.ts", "c12", "node:**"],
  },
  { module: "core/src/{index,dialect-kit}.ts", may: ["core/src/**"] },
  { module: "core/src/replication/policy.ts", may: contract },
  // What makes a main and a backup of two storages: it knows storages and rows, no database and no configuration.
  {
    module: "core/src/replication/**",
    may: [
      ...contract,
      "core/src/replication/**",
      "core/src/{storage,dialect,arguments,chains,deadline,events,ids,options,paging,store-queue,telemetry,tombstones,writes}.ts",
      "core/src/codec/snapshots.ts",
      "node:**",
    ],
  },
  // What encrypts: a dialect around a dialect. Keys are known here and nowhere else.
  {
    module: "core/src/sealing/reencrypt.ts",
    may: [
      ...contract,
      "core/src/sealing/**",
      "core/src/{storage,dialect,tombstones}.ts",
      "type:core/src/open.ts",
      "node:**",
    ],
  },
  {
    module: "core/src/sealing/**",
    may: [
      ...contract,
      "core/src/sealing/**",
      "core/src/{dialect,tombstones}.ts",
      "core/src/codec/snapshots.ts",
      "node:**",
    ],
  },
  // The parts of dialect-session.ts: what each library is for stands in one file.
  { module: "core/src/events.ts", may: contract },
  { module: "core/src/deadline.ts", may: ["core/src/errors.ts"] },
  { module: "core/src/retries.ts", may: ["type:core/src/{contract,dialect}.ts", "cockatiel"] },
  { module: "core/src/circuit.ts", may: [...contract, "core/src/deadline.ts", "cockatiel"] },
  { module: "core/src/telemetry.ts", may: [...contract, "@opentelemetry/api"] },
  {
    module: "core/src/dialect-session.ts",
    may: [
      ...contract,
      "core/src/{circuit,deadline,retries,telemetry,opening}.ts",
      "type:core/src/{dialect,events,options}.ts",
      "type:@opentelemetry/api",
      "node:**",
    ],
  },
  { module: "core/src/environment.ts", may: [] },
  { module: "core/src/close-on-exit.ts", may: [...contract, "core/src/arguments.ts"] },
  // The parts of storage.ts that know rows and states, and nothing of each other but what they are made of.
  {
    module: "core/src/writes.ts",
    may: ["core/src/{chains,dialect,codec/snapshots}.ts", "type:core/src/{arguments,contract}.ts"],
  },
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
      "core/src/{storage,arguments,ids,options,paging,prune,events,tombstones}.ts",
      "core/src/{chains,removal,state-cache,store-queue,writes}.ts",
      "core/src/{circuit,deadline,retries,telemetry}.ts",
      "core/src/sealing/{keys,sealed-dialect}.ts",
      "core/src/codec/**",
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

  // Adapters to frameworks know storages and their framework: no dialect, no rows.
  {
    module: "openai-agents/src/**",
    may: ["openai-agents/src/**", "@waymark/core", "@waymark/core/dialect-kit", "@openai/agents-core", "node:**"],
  },
  {
    module: "langgraph/src/**",
    may: [
      "langgraph/src/**",
      "@waymark/core",
      "@langchain/langgraph-checkpoint",
      "type:@langchain/core/runnables",
      "@langchain/core/load",
      "node:crypto",
      "node:util",
    ],
  },

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
  {
    what: "process.env",
    member: "process.env",
    allowedIn: ["cli/src/**", "core/src/{open,environment}.ts", "conformance/src/**"],
  },
  { what: "console", member: "console.*", allowedIn: ["cli/src/**"] },
  { what: "the type any", node: "TSAnyKeyword", allowedIn: [] },
  { what: "new Error, where a CheckpointError is due", constructed: "Error", allowedIn: [] },
];
