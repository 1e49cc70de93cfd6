import { describeSilentServer } from "@waymark/conformance";
import { target } from "./on-server.ts";

describeSilentServer(target);
