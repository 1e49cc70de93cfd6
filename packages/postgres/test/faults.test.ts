import { describeServerFaults } from "@waymark/conformance";
import { target } from "./on-server.ts";

describeServerFaults(target);
