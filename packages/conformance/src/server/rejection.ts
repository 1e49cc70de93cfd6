/** Returns the error that a promise rejects with. @throws TypeError if it does not reject */
export async function rejection(promise: Promise<unknown>): Promise<Error & Record<string, unknown>> {
  try {
    await promise;
  } catch (error) {
    return error as Error & Record<string, unknown>;
  }
  throw new TypeError("expected the promise to reject");
}
