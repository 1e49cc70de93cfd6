import { describeSecrets, describeSecretsOfUrls } from "@waymark/conformance";
import { target } from "./on-server.ts";

describeSecrets(target);
describeSecretsOfUrls(target);
