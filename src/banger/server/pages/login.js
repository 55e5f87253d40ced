"use strict";
// Exchanges the secret of a log-in link, or a token, for the cookie of a session.
const told = document.getElementById("told");
const form = document.getElementById("form");

async function logIn(what) {
  told.textContent = "Logging in…";
  form.hidden = true;
  try {
    const answer = await fetch("/login", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Banger": "1" },
      body: JSON.stringify(what),
    });
    if (answer.ok) {
      location.replace("/");
      return;
    }
    const { error } = await answer.json();
    told.textContent = `${error.message}. ${error.hint}`;
  } catch {
    told.textContent = "The daemon does not answer.";
  }
  form.hidden = false;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  logIn({ token: document.getElementById("token").value.trim() });
});

const link = location.hash.slice(1);
if (link) {
  history.replaceState(null, "", "/login"); // the history of the browser keeps no secret
  logIn({ link });
} else {
  told.textContent = "Run `banger ui` for a log-in link, or log in with a token.";
  form.hidden = false;
}
