// What the agent knows, of whom; or forgets a user.
//
//   node memories.mjs
//   node memories.mjs --forget ada

import { parseArgs } from "node:util";
import { open } from "./open.mjs";

const { values: options } = parseArgs({ options: { forget: { type: "string" } } });
const { store, close } = await open();

if (options.forget !== undefined) {
  const items = await store.search(["memories", options.forget], { limit: 1_000 });
  for (const { namespace, key } of items) await store.delete(namespace, key);
  console.log(`forgot ${items.length} memories of ${options.forget}`);
}
for (const namespace of await store.listNamespaces({ prefix: ["memories"] })) {
  for (const { key, value } of await store.search(namespace)) console.log(`${namespace.at(-1)}, ${key}: ${value.text}`);
}
await close();
