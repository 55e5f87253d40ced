// Who this browser is to the daemon, and what it may do.

import { Cell } from "../cell";
import { failureOf, get } from "./call";
import type { Caller } from "./model";

export const session = new Cell<Caller | undefined>(undefined);
/** False for a read-only session: then nothing that changes something is offered. */
export const mayChange = new Cell(true);

export async function meet(): Promise<void> {
  try {
    const met = await get<Caller>("/v1/session");
    session.set(met);
    mayChange.set(met.rights === "write");
  } catch (reason) {
    failureOf(reason); // a session that is over shows itself; anything else does not keep the page from working
  }
}
