import { onTestFinished } from "vitest";
import { startProxy } from "waymark-test-servers";
import { describeSilentServer, startSilentServer } from "../../core/test/describe-silent-server.ts";
import { untilDone } from "../../core/test/until-done.ts";
import { createPostgresStorage } from "../src/index.ts";
import { emptyDatabase, open } from "./on-server.ts";

describeSilentServer({
  "never answers": async (options) => {
    const server = await startSilentServer();
    const connectionString = `postgres://user@127.0.0.1:${server.port}/waymark`;
    return { storage: createPostgresStorage({ connectionString, ...options }), server };
  },
  "answers no more": async (options) => {
    const database = await emptyDatabase();
    const first = open({ connectionString: database.url });
    await first.migrate(); // which may take its time
    await first.close();
    const proxy = await startProxy(database.url);
    onTestFinished(() => proxy.stop());
    const storage = createPostgresStorage({ connectionString: proxy.url, ...options });
    await untilDone(() => storage.listAgents());
    proxy.blackhole(true);
    return { storage, server: proxy };
  },
});
