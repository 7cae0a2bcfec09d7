// The plans, asked for once, and what a film's level means to a person.

import { send } from "./api.js";

let asked = null;

export function plans() {
  asked ??= send("GET", "list-plans").then(
    (answer) => answer.plans,
    (error) => {
      asked = null;
      throw error;
    },
  );
  return asked;
}

/** The name of the plan with this code; the code itself where it is no longer sold. */
export async function planName(code) {
  return (await plans()).find((plan) => plan.code === code)?.name ?? code;
}

/** The smallest plan that opens this level. */
export function planFor(sold, level) {
  return sold.filter((plan) => plan.level >= level).sort((one, other) => one.level - other.level)[0];
}
