import { describeEncryption } from "../../core/test/describe-encryption.ts";
import { reencryptCheckpoints } from "../src/index.ts";
import { checkpoint, connect, emptyDatabase, open } from "./on-server.ts";

describeEncryption({
  title: "encrypted checkpoints",
  newDatabase: () => emptyDatabase(),
  open,
  checkpoint,
  reencrypt: reencryptCheckpoints,
  async folderOf(url) {
    const client = connect(url);
    await client.unsafe("checkpoint");
    const [[folder] = []] = await client.unsafe("show data_directory").values();
    return String(folder);
  },
});
