// What each folder of packages/*/src may import (see ARCHITECTURE.md, "The layers"), and which words stay in which files.
//
// Paths begin in packages/; `*` is a part of a path, `**` any number of parts, `{a,b}` one of them.

import { DIALECTS } from "./dialects.mjs";

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
  "core/src/config/file.ts": ["type:c12"],
};

/**
 * Imports that a module may have: the first row that covers it counts, and each module needs one. `type:` allows types only,
 * which leave nothing behind at run time.
 */
export const IMPORTS = [
  { module: "core/src/{index,kit}.ts", may: ["core/src/**"] },
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
    // The tables and statements of a domain know the database, not its driver; other domains stand beside it.
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
    // The database itself knows no tables.
    {
      module: `${dialect}/src/*.ts`,
      may: [`${dialect}/src/*.ts`, "@waymark/core", "@waymark/core/kit", ...drivers, ...drizzle, "node:**"],
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
      "@waymark/core/kit",
      "@langchain/langgraph-checkpoint",
      "type:@langchain/core/runnables",
      "@langchain/core/load",
      "node:crypto",
      "node:util",
    ],
  },

  {
    module: "conformance/src/**",
    may: ["conformance/src/**", "type:@waymark/core", "@waymark/core/kit", "vitest", "fast-check", "node:**"],
  },
];

/** Words that stay out of the code of `src`, comments aside, and the files that may have them all the same. */
export const WORDS = [
  ...Object.entries(DIALECTS).map(([dialect, { words }]) => ({
    what: `the name of the dialect ${dialect}`,
    mentions: new RegExp(words.join("|"), "i"),
    allowedIn: [`${dialect}/src/**`, "core/src/config/database-urls.ts"],
  })),
  {
    what: "process.env",
    member: "process.env",
    allowedIn: ["cli/src/**", "core/src/config/open.ts", "core/src/database/options.ts", "conformance/src/**"],
  },
  { what: "console", member: "console.*", allowedIn: ["cli/src/**"] },
  { what: "the type any", node: "TSAnyKeyword", allowedIn: [] },
  { what: "new Error, where a CheckpointError is due", constructed: "Error", allowedIn: [] },
];
