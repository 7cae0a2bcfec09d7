"use strict";
// The forms of the sandbox's page; each shows the answer it gets.

const answer = document.getElementById("answer");

async function post(url, body) {
  answer.textContent = "…";
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    answer.textContent = `${response.status}\n${text.slice(0, 4000)}`;
  } catch (error) {
    answer.textContent = `No answer: ${error.message}`;
  }
}

function onSubmit(id, act) {
  document.getElementById(id).addEventListener("submit", (event) => {
    event.preventDefault();
    act(new FormData(event.target));
  });
}

onSubmit("control", (form) => post("/sandbox/stripe/control", Object.fromEntries(form)));
onSubmit("clock", (form) => {
  const to = new Date(form.get("to")).toISOString();
  post("/sandbox/stripe/control", { action: "advance", to });
});
onSubmit("reconcile", () => post("/sandbox/tasks/reconcile", {}));
