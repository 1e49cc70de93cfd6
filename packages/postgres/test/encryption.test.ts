import { describeServerEncryption } from "@waymark/conformance";
import { target } from "./on-server.ts";

describeServerEncryption(target);
