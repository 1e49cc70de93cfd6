// What each folder of packages/*/src may import (see ARCHITECTURE.md, "The layers"), and which words stay in which files.
//
// Paths begin in packages/; `*` is a part of a path, `**` any number of parts, `{a,b}` one of them.

const drivers = { sqlite: ["better-sqlite3"], postgres: ["postgres"], mysql: ["mysql2", "mysql2/**"] };
const names = { sqlite: ["sqlite"], postgres: ["postgres"], mysql: ["mysql", "mariadb"] };
const dialects = Object.keys(drivers);
const drizzle = ["drizzle-orm", "drizzle-orm/**"];

/** The layers of core, the lowest first. A folder may import itself and the folders that are named for it. */
const layers = {
  contract: [],
  codec: [],
  database: ["contract"],
  checkpoints: ["contract", "codec", "database"],
  encryption: ["contract", "codec", "database", "checkpoints"],
  replication: ["contract", "codec", "database", "checkpoints"],
  config: ["contract", "database", "replication"],
  agent: ["contract", "database", "checkpoints"],
};

/** Packages from npm: each is imported by one file, or one folder. */
const libraries = {
  "core/src/database/retry.ts": ["cockatiel"],
  "core/src/database/circuit.ts": ["cockatiel"],
  "core/src/database/telemetry.ts": ["@opentelemetry/api"],
  "core/src/database/session.ts": ["type:@opentelemetry/api"],
  "core/src/config/open.ts": ["c12"],
};

/** Imports that run up. Each goes away with a step of the redesign. */
const upward = {
  "core/src/database/session.ts": ["type:core/src/checkpoints/dialect.ts"],
  "core/src/database/retry.ts": ["type:core/src/checkpoints/dialect.ts"],
  "core/src/database/options.ts": ["core/src/encryption/key-ring.ts"],
  "core/src/checkpoints/storage.ts": ["core/src/encryption/encrypted-dialect.ts"],
  "core/src/encryption/reencrypt.ts": ["type:core/src/config/open.ts"],
};

/**
 * What a module may import: the first row that covers it counts, and each module needs one. `type:` allows types only,
 * which leave nothing behind at run time.
 */
export const IMPORTS = [
  { module: "core/src/{index,kit}.ts", may: ["core/src/**"] },
  ...Object.entries(layers).flatMap(([folder, below]) => {
    const may = [folder, ...below].map((layer) => `core/src/${layer}/**`);
    if (folder !== "contract") may.push("node:**");
    const own = { module: `core/src/${folder}/**`, may };
    const special = Object.keys({ ...libraries, ...upward }).filter((module) =>
      module.startsWith(`core/src/${folder}/`),
    );
    return [
      ...special.map((module) => ({ module, may: [...may, ...(libraries[module] ?? []), ...(upward[module] ?? [])] })),
      own,
    ];
  }),

  ...dialects.flatMap((dialect) => [
    { module: `${dialect}/src/checkpoints/schema.ts`, may: ["drizzle-orm", "drizzle-orm/*-core"] },
    {
      module: `${dialect}/src/checkpoints/statements.ts`,
      may: [`${dialect}/src/checkpoints/schema.ts`, ...drizzle, "type:@waymark/core", "type:@waymark/core/*"],
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
    may: ["openai-agents/src/**", "@waymark/core", "@waymark/core/kit", "@openai/agents-core", "node:**"],
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
    allowedIn: [`${dialect}/src/**`, "core/src/config/open.ts"],
  })),
  {
    what: "process.env",
    member: "process.env",
    allowedIn: ["cli/src/**", "core/src/config/open.ts", "core/src/database/environment.ts", "conformance/src/**"],
  },
  { what: "console", member: "console.*", allowedIn: ["cli/src/**"] },
  { what: "the type any", node: "TSAnyKeyword", allowedIn: [] },
  { what: "new Error, where a CheckpointError is due", constructed: "Error", allowedIn: [] },
];
