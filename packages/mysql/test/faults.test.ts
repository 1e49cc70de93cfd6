import { describeServerFaults } from "@waymark/conformance";
import { servers } from "./on-server.ts";

for (const { target } of servers) describeServerFaults(target);
