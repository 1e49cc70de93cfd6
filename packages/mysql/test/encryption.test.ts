import { describeEncryption } from "../../core/test/describe-encryption.ts";
import { reencryptCheckpoints } from "../src/index.ts";
import { checkpoint, emptyDatabase, open, run, servers } from "./on-server.ts";

for (const { title, url } of servers) {
  describeEncryption({
    title: `${title}: encrypted checkpoints`,
    newDatabase: () => emptyDatabase(url),
    open,
    checkpoint,
    reencrypt: reencryptCheckpoints,
    folderOf: async (database) => String((await run(database, "select @@datadir as folder"))[0]?.["folder"]),
  });
}
