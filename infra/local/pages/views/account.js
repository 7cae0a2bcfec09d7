// Everything somebody can see and settle about their account; each section is a file in account/.

import { h } from "../dom.js";
import { go, signIn } from "../router.js";
import { call, user } from "../session.js";
import { data } from "./account/data.js";
import { devices } from "./account/devices.js";
import { films } from "./account/films.js";
import { gift } from "./account/gift.js";
import { plan } from "./account/plan.js";
import { profile } from "./account/profile.js";

export const title = "Account";

export async function render(place) {
  if (!user()) return go(signIn(), { replace: true });
  const account = await call("GET", "account");
  const again = async () => {
    place.replaceChildren();
    await render(place);
  };
  place.append(
    h("h1", {}, "Account"),
    h("div", { class: "columns" }, await plan(account), films(account), profile(account), devices(account, again), gift(again), data()),
  );
}
