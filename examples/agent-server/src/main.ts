// An agent for each user, by HTTP:
//
//   PORT=8787 node dist/main.js ./agents.db

import { serve } from "@hono/node-server";
import { closeOnExit, createSQLiteStorage } from "@waymark/sqlite";
import { createApp } from "./app.ts";
import { scriptedModel } from "./scripted-model.ts";
import { userOf } from "./user.ts";

const storage = createSQLiteStorage({ type: "sqlite", databasePath: process.argv[2] ?? "./agents.db" });
await storage.migrate(); // problems of the database show before the first request
const { fetch } = createApp({ storage, authenticate: userOf, model: scriptedModel });

const options = { fetch, port: Number(process.env["PORT"] ?? 8787), hostname: "127.0.0.1" };
const server = serve(options, ({ port }) => console.log(`listening on http://127.0.0.1:${port}`));

closeOnExit([server, storage]); // at SIGTERM: answers the requests that have arrived, closes the storage, then exits
