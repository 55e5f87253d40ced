// Who this browser is to the daemon, and what it may do.

import { Cell } from "../cell";
import { failureOf, get } from "./call";

export interface Session {
  principal: string;
  rights: string;
}

export const session = new Cell<Session | undefined>(undefined);
/** False for a read-only session: then nothing that changes something is offered. */
export const mayChange = new Cell(true);

export async function meet(): Promise<void> {
  try {
    const met = await get<Session>("/v1/session");
    session.set(met);
    mayChange.set(met.rights !== "read");
  } catch (reason) {
    failureOf(reason); // a session that is over shows itself; anything else does not keep the page from working
  }
}
