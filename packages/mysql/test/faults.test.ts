import { describeServerFaults } from "@waymark/conformance";
import { serversOfDriver } from "./on-server.ts";

for (const { target } of serversOfDriver) describeServerFaults(target);
