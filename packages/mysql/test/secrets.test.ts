import { describeSecrets, describeSecretsOfUrls } from "@waymark/conformance";
import { servers, type TestServer } from "./on-server.ts";

for (const { target } of servers) describeSecrets(target);

const [{ target }] = servers as [TestServer]; // their URLs are alike
describeSecretsOfUrls(target);
