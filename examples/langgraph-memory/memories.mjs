// What the agent knows, of whom; or forgets a user.
//
//   node memories.mjs
//   node memories.mjs --forget ada

import { parseArgs } from "node:util";
import { open } from "./open.mjs";

const { values: options } = parseArgs({ options: { forget: { type: "string" } } });
const { store, close } = await open();

if (options.forget !== undefined) {
  const count = await store.deleteNamespace(["memories", options.forget]);
  console.log(`forgotten of ${options.forget}: ${count}`);
}
for (const namespace of await store.listNamespaces({ prefix: ["memories"] })) {
  for (const { key, value } of await store.search(namespace)) console.log(`${namespace.at(-1)}, ${key}: ${value.text}`);
}
await close();
