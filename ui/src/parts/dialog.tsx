// Questions before something happens, and what is only shown: a dialog that takes the focus, and gives it back.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { type Failure, failureOf } from "../api/call";
import { Cell, useCell } from "../cell";
import { Complaint } from "./basics";

/** Without `act` the dialog only shows something. */
interface Question {
  title: string;
  body: ComponentChildren;
  action: string;
  danger?: boolean;
  field?: { label: string; value?: string; pattern?: string; hint?: string; optional?: boolean };
  act?: (value: string) => Promise<unknown>;
}

const open = new Cell<Question | undefined>(undefined);

export function ask(question: Question): void {
  open.set(question);
}

export function Dialogs(): JSX.Element | null {
  const question = useCell(open);
  return question ? <Dialog key={question.title} {...question} /> : null;
}

function Dialog({ title, body, action, danger, field, act }: Question): JSX.Element {
  const place = useRef<HTMLDialogElement>(null);
  const [value, setValue] = useState(field?.value ?? "");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  useEffect(() => {
    const before = document.activeElement;
    place.current?.showModal();
    return () => { if (before instanceof HTMLElement) before.focus(); };
  }, []);
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    try {
      await act?.(value.trim());
      open.set(undefined);
    } catch (reason) {
      setFailure(failureOf(reason));
      setBusy(false);
    }
  };
  return (
    <dialog ref={place} aria-labelledby="dialog-title" onClose={() => open.set(undefined)}>
      <form onSubmit={submit}>
        <h2 id="dialog-title">{title}</h2>
        <div class="dialog-body">{body}</div>
        {field && (
          <label class="field">
            <span>{field.label}</span>
            <input value={value} pattern={field.pattern} required={!field.optional} autofocus autocomplete="off"
              spellcheck={false} onInput={(event) => setValue(event.currentTarget.value)} />
            {field.hint && <small>{field.hint}</small>}
          </label>
        )}
        {failure && <Complaint failure={failure} />}
        <div class="actions end">
          {act && <button type="button" onClick={() => place.current?.close()}>Cancel</button>}
          <button type="submit" class={danger ? "danger" : "primary"} disabled={busy} autofocus={!field}>{action}</button>
        </div>
      </form>
    </dialog>
  );
}
