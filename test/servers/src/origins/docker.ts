import { setTimeout } from "node:timers/promises";
import { type Engine, readVersion } from "../engines/engine.ts";
import { retryUntilReady } from "../readiness.ts";
import type { Absent, Server } from "../server.ts";
import { unkillable } from "./unkillable.ts";

const ENGINE_TIMEOUT_SECONDS = 3;
const START_TIMEOUT_SECONDS = 120;

/** Starts a container of a pinned image. If this process is killed, testcontainers removes it. */
export async function fromDocker(engine: Engine): Promise<Server | Absent> {
  // Imported only when needed, since it loads slowly.
  const { GenericContainer, getContainerRuntimeClient } = await import("testcontainers");
  const silence = setTimeout(ENGINE_TIMEOUT_SECONDS * 1000, false, { ref: false });
  const answers = getContainerRuntimeClient().then(
    () => true,
    () => false,
  );
  if (!(await Promise.race([answers, silence]))) return { absent: "no engine answers" };

  const { image, port, environment } = engine.container;
  const container = await new GenericContainer(image)
    .withEnvironment({ ...environment })
    .withCommand([...engine.settings])
    .withExposedPorts(port)
    .withStartupTimeout(START_TIMEOUT_SECONDS * 1000)
    .start();
  try {
    const url = engine.adminUrl(container.getHost(), container.getMappedPort(port));
    const version = await retryUntilReady(() => readVersion(url, engine));
    const stop = async () => void (await container.stop());
    return { ...unkillable(engine, "docker"), version, url, stop };
  } catch (error) {
    await container.stop();
    throw error;
  }
}
