// Imports that each folder of packages/*/src may have (see ARCHITECTURE.md, "The layers"), and files that may contain certain
// words.
//
// Paths begin in packages/. `*` matches one part of a path, `**` any number of parts, `{a,b}` one of the two.

import { DIALECTS } from "./dialects.mjs";

const drizzle = ["drizzle-orm", "drizzle-orm/**"];

/** Layers of core, the lowest first: each folder with the other folders that it may import. */
const layers = {
  contract: [],
  codec: ["contract"],
  database: ["contract"],
  records: [],
  memory: ["contract", "codec", "database", "records"],
  "record-store": ["contract", "database", "records"],
  checkpoints: ["contract", "codec", "database"],
  encryption: ["contract", "codec", "database", "checkpoints"],
  replication: ["contract", "codec", "database", "checkpoints"],
  retention: ["contract", "database", "checkpoints"],
  config: ["contract", "database", "replication", "retention"],
  agent: ["contract", "database", "checkpoints"],
};

/** Files of core that may import packages from npm, with these packages. */
const libraries = {
  "core/src/database/retry.ts": ["cockatiel"],
  "core/src/database/circuit.ts": ["cockatiel"],
  "core/src/database/telemetry.ts": ["@opentelemetry/api"],
  "core/src/config/{define,registry,packages}.ts": ["type:core/src/memory/**", "type:core/src/record-store/**"],
  "core/src/config/open-records.ts": ["type:core/src/record-store/**"],
  "core/src/config/open-memory.ts": ["core/src/checkpoints/options.ts", "core/src/memory/**"],
  "core/src/database/session.ts": ["type:@opentelemetry/api"],
  "core/src/config/file.ts": ["type:c12"],
};

/**
 * Imports that a module may have. The first row that matches the module counts, and each module needs one. `type:` allows only
 * imports of types, which are gone at run time.
 */
export const IMPORTS = [
  { module: "core/src/{index,kit,memory,memory-kit,records}.ts", may: ["core/src/**"] },
  // The composition root: puts the engine on an encrypted dialect, or on a plain one.
  {
    module: "core/src/create-storage.ts",
    may: ["contract", "database", "checkpoints", "encryption"].map((layer) => `core/src/${layer}/**`),
  },
  ...Object.entries(layers).flatMap(([folder, below]) => {
    const may = [folder, ...below].map((layer) => `core/src/${layer}/**`);
    if (folder !== "contract") may.push("node:**");
    const users = Object.entries(libraries).filter(([path]) => path.startsWith(`core/src/${folder}/`));
    return [
      ...users.map(([module, packages]) => ({ module, may: [...may, ...packages] })),
      { module: `core/src/${folder}/**`, may },
    ];
  }),

  ...Object.entries(DIALECTS).flatMap(([dialect, { drivers }]) => [
    { module: `${dialect}/src/index.ts`, may: [`${dialect}/src/**`, "@waymark/core", "@waymark/core/*"] },
    // Drizzle's tables of tables that are data, and the verbs over them.
    {
      module: `${dialect}/src/records/**`,
      may: [
        `${dialect}/src/records/**`,
        `${dialect}/src/*.ts`,
        "@waymark/core",
        "@waymark/core/kit",
        "@waymark/core/records",
        ...drizzle,
        "sqlite-vec",
        ...drivers.map((name) => `type:${name}`),
      ],
    },
    {
      module: `${dialect}/src/memory/schema.ts`,
      may: [`${dialect}/src/records/tables.ts`, "@waymark/core/memory/kit"],
    },
    {
      module: `${dialect}/src/memory/**`,
      may: [
        `${dialect}/src/**`,
        "@waymark/core",
        "@waymark/core/kit",
        "@waymark/core/memory",
        "@waymark/core/memory/kit",
        "node:**",
        ...drizzle,
        ...drivers.map((name) => `type:${name}`),
      ],
    },
    // Statements may import the database, but only types of its driver. The schema imports neither.
    {
      module: `${dialect}/src/checkpoints/schema.ts`,
      may: ["drizzle-orm", "drizzle-orm/*-core", "type:@waymark/core/kit"],
    },
    {
      module: `${dialect}/src/checkpoints/**`,
      may: [
        `${dialect}/src/**`,
        "@waymark/core",
        "@waymark/core/kit",
        ...drizzle,
        ...drivers.map((name) => `type:${name}`),
      ],
    },
    // Where a database has several drivers: each in a file of its own, which knows no tables and no options.
    {
      module: `${dialect}/src/drivers/**`,
      may: [`${dialect}/src/drivers/**`, "@waymark/core", "@waymark/core/kit", ...drivers, "node:**"],
    },
    // The database imports no tables.
    {
      module: `${dialect}/src/*.ts`,
      may: [`${dialect}/src/{*,drivers/*}.ts`, "@waymark/core", "@waymark/core/kit", ...drivers, ...drizzle, "node:**"],
    },
  ]),

  // Adapters import core's public modules and their framework: no dialect, no rows.
  {
    module: "openai-agents/src/**",
    may: ["openai-agents/src/**", "@waymark/core", "@waymark/core/kit", "@openai/agents-core", "node:**"],
  },
  {
    module: "langgraph/src/**",
    may: [
      "langgraph/src/**",
      "@waymark/core",
      "@waymark/core/kit",
      "type:@waymark/core/memory",
      "@langchain/langgraph-checkpoint",
      "type:@langchain/core/runnables",
      "@langchain/core/load",
      "node:crypto",
      "node:util",
    ],
  },

  // Its tables are data: no SQL, and no dialect.
  { module: "elizaos/src/migrations/*.ts", may: ["type:@waymark/core/kit"] },
  {
    module: "elizaos/src/import/**",
    may: ["elizaos/src/**", "@waymark/core", "@waymark/core/records", ...drizzle, "node:**"],
  },
  { module: "elizaos/src/**", may: ["elizaos/src/**", "@waymark/core", "@waymark/core/records", "node:**"] },

  {
    module: "conformance/src/memory/storage/**",
    may: [
      "conformance/src/memory/{rows.ts,storage/**}",
      "conformance/src/storage/{errors,first-difference,hostile-texts,scale,values}.ts",
      "type:conformance/src/server/target.ts",
      "type:@waymark/core",
      "type:@waymark/core/memory",
      "@waymark/core/memory/kit",
      "vitest",
      "node:**",
    ],
  },
  // What tests memory imports memory. The other suites do not: who tests checkpoints loads nothing of it.
  {
    module: "conformance/src/memory/**",
    may: [
      "conformance/src/{memory,dialect}/**",
      "conformance/src/storage/hostile-texts.ts",
      "@waymark/core/kit",
      "@waymark/core/memory/kit",
      "vitest",
      "fast-check",
    ],
  },
  {
    module: "conformance/src/**",
    may: [
      "conformance/src/*.ts",
      "conformance/src/{dialect,server,storage}/**",
      "type:@waymark/core",
      "@waymark/core/kit",
      "vitest",
      "fast-check",
      "node:**",
    ],
  },
];

/** Words that the code of `src` must not contain (comments may), and the files that are exempt. */
export const WORDS = [
  ...Object.entries(DIALECTS).map(([dialect, { words }]) => ({
    what: `the name of the dialect ${dialect}`,
    mentions: new RegExp(words.join("|"), "i"),
    allowedIn: [
      `${dialect}/src/**`,
      "core/src/config/database-urls.ts",
      "elizaos/src/{options,plugin,plugin-tables,schemas}.ts",
      "elizaos/src/{import,migrations}/**",
    ],
  })),
  {
    what: "process.env",
    member: "process.env",
    allowedIn: [
      "cli/src/**",
      "core/src/config/open.ts",
      "core/src/config/open-memory.ts",
      "core/src/database/options.ts",
      "elizaos/src/options.ts",
      "postgres/src/url.ts",
      "conformance/src/**",
    ],
  },
  { what: "console", member: "console.*", allowedIn: ["cli/src/**"] },
  {
    what: "the method unref, which a timer that is a number lacks: unref() of core takes any timer",
    method: "unref",
    allowedIn: [
      "core/src/database/deadline.ts",
      "mysql/src/connection.ts",
      "postgres/src/client.ts",
      "conformance/src/**",
    ], // sockets
  },
  { what: "the type any", node: "TSAnyKeyword", allowedIn: [] },
  { what: "new Error, where a CheckpointError is due", constructed: "Error", allowedIn: [] },
];
